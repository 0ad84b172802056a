"""SiamFC: Bertinetto et al., Fully-Convolutional Siamese Networks for Object Tracking, 2016."""
