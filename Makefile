# Each target sets up what it needs first (scripts/bootstrap); the second time that takes a moment.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# --name 'value' where the variable is set; the value may hold spaces and quotes.
option = $(if $($(1)),--$(2) '$(subst ','\'',$($(1)))')
demo_options = $(call option,VIDEO,video) $(call option,BOX,box) \
  $(call option,MODEL,model) $(call option,SECONDS,seconds) $(call option,DEVICE,device) \
  $(call option,RATE,rate) $(call option,OUTPUT,output)
activate = source .ros/setup.bash

.PHONY: setup demo test check bench clean distclean help

setup:  ## virtual environment, ROS 2 and colcon build, all inside .ros/
	@scripts/bootstrap

demo: setup  ## follow a target; VIDEO=file BOX=x,y,w,h MODEL=dimp18 SECONDS=20 RATE=10 DEVICE=cpu choose
	@$(activate) && python -m tracker_ros.demo $(demo_options)

test: setup  ## all test suites through colcon
	@$(activate) && scripts/test

check: setup  ## ruff, mypy, import rules
	@$(activate) && scripts/check

bench: setup  ## milliseconds per frame of each tracker
	@$(activate) && python -m tracker_core.benchmark speed

clean:  ## remove what was built and cached, keep the virtual environment
	rm -rf .ros/build .ros/install .ros/log .pytest_cache .mypy_cache .ruff_cache
	find . -path ./.ros -prune -o -name __pycache__ -print0 | xargs -0 rm -rf

distclean: clean  ## remove .ros/ altogether
	rm -rf .ros

help:  ## this list
	@echo 'make TARGET [NAME=value ...]'
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
