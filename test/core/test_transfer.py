import numpy as np
import pytest
import torch

from tracker_core.transfer import constant, upload

CPU = torch.device('cpu')


def test_the_cpu_shares_the_memory():
    values = np.arange(6.0)
    uploaded = upload(values, CPU)
    assert uploaded.dtype == torch.float64
    values[0] = 9
    assert uploaded[0] == 9
    assert upload(uploaded, CPU) is uploaded


def test_another_device():
    assert upload(np.zeros((2, 3), np.uint8), torch.device('meta')).device.type == 'meta'


def test_constants_have_type_and_device_of_another_tensor():
    found = constant((1, 2.5), torch.zeros(3, dtype=torch.bfloat16))
    assert found.tolist() == [1, 2.5] and found.dtype == torch.bfloat16
    assert constant((1, 2), torch.zeros(1, device='meta')).device.type == 'meta'


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_a_gpu_gets_the_values_of_the_moment_without_being_waited_for():
    device = torch.device('cuda')
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        uploads = []
        for value in range(50):
            values = np.full(100_000, value)
            uploads.append(upload(values, device))
            values[:] = -1
    finally:
        torch.cuda.set_sync_debug_mode('default')
    for value, uploaded in enumerate(uploads):
        assert (uploaded == value).all()
