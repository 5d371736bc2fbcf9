// SPDX-License-Identifier: Apache-2.0
// Convolutions through cuDNN's graph API: one operation a graph, an engine by conv2d_cudnn_plan.h's rules, and a plan
// that is built once per task and kept. No cuDNN header here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "kernels/conv2d/conv2d_cudnn_plan.h"
#include "kernels/cudnn_handle.h"

namespace lockstep::cudnn {

// Arrays of a task in device memory, KRSC filters; the pass says which one is written.
struct ConvArrays {
  const void* x = nullptr;
  const void* w = nullptr;
  const void* y = nullptr;
};

struct ConvPlan {
  std::shared_ptr<void> native;  // a finalized execution plan, and the descriptors that it was made of
  int64_t workspace_bytes = 0;
  std::string engine;  // "engine 12, knob 2 = 5"
};

// The plan of the task on the GPU of `use`; lives as long as the process. Unimplemented: at the typical batch, and so
// for every batch, cuDNN has no engine that the rules allow; says why, and is logged once. Internal: it has one there,
// but none for this task; names both. Errors, too, are remembered.
absl::StatusOr<const ConvPlan*> conv_plan(const CudnnUse& use, const ConvTask& task, const EngineRules& rules);

// The plan that the task would get on a GPU that is not here, by cuDNN's own description of it (JSON). For tests: it
// cannot be run. FailedPrecondition: this cuDNN does not do that.
absl::StatusOr<ConvPlan> conv_plan_for(std::string_view gpu, const ConvTask& task, const EngineRules& rules);

// Enqueues it. `workspace` has plan.workspace_bytes.
absl::Status run(const CudnnUse& use, const ConvPlan& plan, const ConvTask& task, const ConvArrays& arrays,
                 void* workspace);

}  // namespace lockstep::cudnn
