// SPDX-License-Identifier: Apache-2.0
// What liblockstep_cuda.so exports: the operators of `kernels` and the reducer of `mpi`, joined here because neither
// folder knows the other.
#include "kernels/cuda_device.h"
#include "kernels/cuda_library.h"
#include "kernels/device_ops_cuda.h"
#if LOCKSTEP_HAVE_CUDNN
#include "kernels/device_ops_cudnn.h"
#endif
#include "mpi/nccl_grad_reducer.h"

const lockstep::CudaLibrary* lockstep_cuda_library() {
  using namespace lockstep;
  static const CudaLibrary library = [] {
    CudaLibrary made;
    made.description = LOCKSTEP_CUDA_DESCRIPTION;
    made.device_count = cuda_device_count;
    made.device_id = cuda_device_id;
    made.make_device = make_cuda_device;
    made.cuda = &cuda_device_ops();
#if LOCKSTEP_HAVE_CUDNN
    made.cudnn = &cudnn_device_ops();
#endif
    made.run_ceiling = cuda::run_ceiling;
    made.sum_slices = cuda::sum_slices;
#if LOCKSTEP_HAVE_NCCL
    made.make_nccl_grad_reducer = reinterpret_cast<void*>(&make_nccl_grad_reducer);
#endif
    return made;
  }();
  return &library;
}
