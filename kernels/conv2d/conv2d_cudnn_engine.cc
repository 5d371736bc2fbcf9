// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/conv2d_cudnn_engine.h"

#include <cudnn.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/log.h"
#include "kernels/cudnn_check.h"
#include "kernels/cudnn_graph.h"

// Since 9.8 cuDNN plans for a GPU that is described and not there. (The emulated one has no such version.)
#if defined(CUDNN_VERSION)
#define LOCKSTEP_CUDNN_WITHOUT_GPU (CUDNN_VERSION >= 90800)
#else
#define LOCKSTEP_CUDNN_WITHOUT_GPU 0
#endif

namespace lockstep::cudnn {
namespace {

Descriptor tensor(const ConvTensor& t) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, t.dims)
      .set(CUDNN_ATTR_TENSOR_STRIDES, t.strides)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, t.id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, t.alignment)
      .finalize();
  return d;
}

Descriptor convolution(const ConvTask& task) {
  const std::array<int64_t, 2> dilations{1, 1};
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "a convolution");
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, task.pad_before)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, task.pad_after)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, task.stride)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilations)
      .finalize();
  return d;
}

// The names that a pass gives to the same five things.
struct PassNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};
constexpr PassNames kForwardNames{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
constexpr PassNames kInputGradNames{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
constexpr PassNames kFilterGradNames{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

const PassNames& names_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::kForward:
      return kForwardNames;
    case ConvPass::kInputGrad:
      return kInputGradNames;
    case ConvPass::kFilterGrad:
      break;
  }
  return kFilterGradNames;
}

// What graphs, engines and plans are made for: the GPU of a handle, or one that is only described.
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* description = nullptr;

  // Tells it to a descriptor that has these attributes for it; a null one: it need not know.
  enum class Attribute { kGraph, kHeuristics, kEngine, kPlan };
  void tell(Attribute attribute, Descriptor& descriptor) const {
    if (handle != nullptr && attribute == Attribute::kGraph) descriptor.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
    if (handle != nullptr && attribute == Attribute::kPlan) descriptor.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle);
#if LOCKSTEP_CUDNN_WITHOUT_GPU
    if (description == nullptr) return;
    if (attribute == Attribute::kHeuristics) descriptor.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *description);
    if (attribute == Attribute::kEngine) descriptor.set(CUDNN_ATTR_ENGINE_DEVICEPROP, *description);
    if (attribute == Attribute::kPlan) descriptor.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *description);
#endif
  }
};

// The descriptors of a graph with this one operation; the graph refers to the others.
struct Graph {
  Descriptor x, w, y, convolution, operation, graph;
  Graph(const Target& target, const ConvTask& task)
      : x(tensor(task.x)),
        w(tensor(task.w)),
        y(tensor(task.y)),
        convolution(cudnn::convolution(task)),
        operation(names_of(task.pass).type, "a convolution's operation"),
        graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "a graph") {
    const PassNames& names = names_of(task.pass);
    operation.set(names.x, x)
        .set(names.w, w)
        .set(names.y, y)
        .set(names.convolution, convolution)
        .set(names.alpha, 1.0f)
        .set(names.beta, 0.0f)
        .finalize();
    target.tell(Target::Attribute::kGraph, graph);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation).finalize();
  }
};

// An engine and its settings, free of any graph.
struct EngineChoice {
  int64_t engine = 0;
  std::vector<std::pair<cudnnBackendKnobType_t, int64_t>> knobs;

  bool settled() const {
    return std::all_of(knobs.begin(), knobs.end(), [](const auto& knob) { return is_settled(knob.second); });
  }
  std::string text() const {
    std::string text = fmt::format("engine {}", engine);
    for (const auto& [type, value] : knobs) text += fmt::format(", knob {} = {}", static_cast<int>(type), value);
    return text;
  }
};

absl::StatusOr<EngineNotes> notes_of(const Descriptor& engine) {
  cudnnBackendNumericalNote_t values[CUDNN_NUMERICAL_NOTE_TYPE_COUNT] = {};
  LOCKSTEP_ASSIGN_OR_RETURN(const int64_t count,
                            engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, values, CUDNN_NUMERICAL_NOTE_TYPE_COUNT));
  EngineNotes notes;
  for (int64_t i = 0; i < count && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; ++i) {
    switch (values[i]) {
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        notes.tensor_core = true;
        break;
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        notes.down_convert = true;
        break;
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        notes.reduced_reduction = true;
        break;
      case CUDNN_NUMERICAL_NOTE_FFT:
        notes.fft = true;
        break;
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        notes.nondeterministic = true;
        break;
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        notes.winograd = true;
        break;
      default:
        break;
    }
  }
  return notes;
}

absl::StatusOr<EngineChoice> choice_of(const Descriptor& config, const Descriptor& engine) {
  EngineChoice choice;
  LOCKSTEP_ASSIGN_OR_RETURN(choice.engine, engine.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  std::vector<Descriptor> knobs;
  for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; ++i) {
    LOCKSTEP_RETURN_IF_ERROR(knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "a knob").status());
  }
  std::vector<cudnnBackendDescriptor_t> places = natives(knobs);
  LOCKSTEP_ASSIGN_OR_RETURN(const int64_t count, config.get(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, places.data(),
                                                            static_cast<int64_t>(places.size())));
  for (size_t i = 0; i < std::min(static_cast<size_t>(count), knobs.size()); ++i) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto type, knobs[i].get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto value, knobs[i].get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
    choice.knobs.emplace_back(type, value);
  }
  return choice;
}

// What one mode of the heuristics recommends, best first, as far as the rules allow it.
absl::Status add_choices(const Target& target, const Graph& graph, cudnnBackendHeurMode_t mode,
                         const EngineRules& rules, std::vector<EngineChoice>& choices) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics");
  target.tell(Target::Attribute::kHeuristics, heuristics);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode).finalize();
  cudnnBackendDescriptor_t* const only_count = nullptr;
  LOCKSTEP_ASSIGN_OR_RETURN(int64_t count, heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, only_count, 0));
  std::vector<Descriptor> configs;
  for (int64_t i = 0; i < count; ++i) {
    LOCKSTEP_RETURN_IF_ERROR(
        configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "an engine's configuration").status());
  }
  std::vector<cudnnBackendDescriptor_t> places = natives(configs);
  LOCKSTEP_ASSIGN_OR_RETURN(count, heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, places.data(), count));
  for (size_t i = 0; i < std::min(static_cast<size_t>(count), configs.size()); ++i) {
    const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR, "an engine");
    LOCKSTEP_RETURN_IF_ERROR(engine.status());
    cudnnBackendDescriptor_t place = engine.native();
    LOCKSTEP_RETURN_IF_ERROR(configs[i].get(CUDNN_ATTR_ENGINECFG_ENGINE, &place, 1).status());
    LOCKSTEP_ASSIGN_OR_RETURN(const EngineNotes notes, notes_of(engine));
    if (!may_run(notes, rules)) continue;
    LOCKSTEP_ASSIGN_OR_RETURN(EngineChoice choice, choice_of(configs[i], engine));
    if (choice.settled()) choices.push_back(std::move(choice));
  }
  return absl::OkStatus();
}

// Engines for the task, best first. An empty list is none; an error is cuDNN's.
absl::StatusOr<std::vector<EngineChoice>> choices_for(const Target& target, const ConvTask& task,
                                                      const EngineRules& rules) {
  const Graph graph(target, task);
  LOCKSTEP_RETURN_IF_ERROR(graph.graph.status());
  std::vector<EngineChoice> choices;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    const absl::Status status = add_choices(target, graph, mode, rules, choices);
    // A mode may have nothing to say about a graph.
    if (!status.ok() && !absl::IsUnimplemented(status)) return status;
  }
  return choices;
}

// A plan and what it refers to: cuDNN does not say how much of it a plan copies.
struct PlanParts {
  Graph graph;
  Descriptor engine, config, plan;
  std::vector<Descriptor> knobs;

  PlanParts(const Target& target, const ConvTask& task, const EngineChoice& choice)
      : graph(target, task),
        engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR, "an engine"),
        config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "an engine's configuration"),
        plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "a plan") {
    target.tell(Target::Attribute::kEngine, engine);
    engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.graph)
        .set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, choice.engine)
        .finalize();
    config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    for (const auto& [type, value] : choice.knobs) {
      Descriptor& knob = knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "a knob");
      knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, type).set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value).finalize();
    }
    if (!knobs.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, knobs);
    config.finalize();
    target.tell(Target::Attribute::kPlan, plan);
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config).finalize();
  }
};

absl::StatusOr<ConvPlan> build(const Target& target, const ConvTask& task, const EngineChoice& choice) {
  auto parts = std::make_shared<PlanParts>(target, task, choice);
  LOCKSTEP_ASSIGN_OR_RETURN(const auto bytes, parts->plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  const cudnnBackendDescriptor_t native = parts->plan.native();
  return ConvPlan{std::shared_ptr<void>(std::move(parts), native), bytes, choice.text()};
}

std::string text_of(const ConvTask& task) {
  const char* const pass = task.pass == ConvPass::kForward     ? "forward"
                           : task.pass == ConvPass::kInputGrad ? "input gradient"
                                                               : "filter gradient";
  return fmt::format("{} of {} x {}x{}x{}, filter {}x{}x{}, stride {}", pass, task.x.dims[0], task.x.dims[2],
                     task.x.dims[3], task.x.dims[1], task.w.dims[2], task.w.dims[3], task.w.dims[0], task.stride[0]);
}

using Rules = std::pair<bool, bool>;  // EngineRules, with an order
using Key = std::tuple<int, Rules, ConvTask>;

// An engine, and the plan that shows that it does the task.
struct Decision {
  EngineChoice choice;
  ConvPlan plan;
};

// The first engine that does exactly this task. Unimplemented: none does.
absl::StatusOr<Decision> first_that_builds(const Target& target, const ConvTask& task, const EngineRules& rules) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto choices, choices_for(target, task, rules));
  absl::Status last = absl::UnimplementedError("no engine of cuDNN has the arithmetic that is asked for");
  for (const EngineChoice& choice : choices) {
    absl::StatusOr<ConvPlan> plan = build(target, task, choice);
    if (plan.ok()) return Decision{choice, *std::move(plan)};
    if (absl::IsResourceExhausted(plan.status())) return plan.status();
    // What an engine cannot do it may say with any code.
    last = absl::UnimplementedError(plan.status().message());
  }
  return last;
}

// The plan of a task that cuDNN does at the typical batch. Neither our kernel nor another engine may stand in where it
// does not at this batch: another rank's batch, or its slices, might be those that it does.
absl::StatusOr<ConvPlan> plan_like(const Decision& typical, const Target& target, const ConvTask& task,
                                   const EngineRules& rules) {
  const auto own_plan = [&]() -> absl::StatusOr<ConvPlan> {
    if (!engine_by_own_batch(task.pass)) return build(target, task, typical.choice);
    LOCKSTEP_ASSIGN_OR_RETURN(Decision own, first_that_builds(target, task, rules));
    return std::move(own.plan);
  };
  absl::StatusOr<ConvPlan> plan = own_plan();
  if (plan.ok() || absl::IsResourceExhausted(plan.status())) return plan;
  return absl::InternalError(fmt::format(
      "cuDNN has a plan for the {} ({}), but none for the {}: {}; take another batch size, or --backend=cuda",
      text_of(at_typical_batch(task)), typical.choice.text(), text_of(task), std::string(plan.status().message())));
}

// What has been found out; used under CudnnUse.
struct Memory {
  std::map<Key, absl::StatusOr<Decision>> decisions;  // per task at its typical batch
  std::map<Key, absl::StatusOr<ConvPlan>> plans;
};
Memory& memory() {
  static auto& memory = *new Memory;
  return memory;
}

const absl::StatusOr<Decision>& decision(const Target& target, const Key& key, const EngineRules& rules) {
  auto& known = memory().decisions;
  auto found = known.find(key);
  if (found != known.end()) return found->second;
  const ConvTask& typical = std::get<ConvTask>(key);
  found = known.emplace(key, first_that_builds(target, typical, rules)).first;
  if (absl::IsUnimplemented(found->second.status())) {
    LOG_WARNING("cuDNN does not do the {}: our kernel runs instead, at every batch ({})", text_of(typical),
                std::string(found->second.status().message()));
  }
  return found->second;
}

}  // namespace

absl::StatusOr<const ConvPlan*> conv_plan(const CudnnUse& use, const ConvTask& task, const EngineRules& rules) {
  const auto key_of = [&](const ConvTask& t) { return Key{use.device(), {rules.tensor_cores, rules.winograd}, t}; };
  const Target target{.handle = use.handle()};
  const absl::StatusOr<Decision>& typical = decision(target, key_of(at_typical_batch(task)), rules);
  LOCKSTEP_RETURN_IF_ERROR(typical.status());
  auto known = memory().plans.find(key_of(task));
  if (known == memory().plans.end()) {
    known = memory().plans.emplace(key_of(task), plan_like(*typical, target, task, rules)).first;
  }
  LOCKSTEP_RETURN_IF_ERROR(known->second.status());
  return &*known->second;
}

absl::StatusOr<ConvPlan> conv_plan_for(std::string_view gpu, const ConvTask& task, const EngineRules& rules) {
#if LOCKSTEP_CUDNN_WITHOUT_GPU
  Descriptor description(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "a description of a GPU");
  description
      .set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, gpu.data(), static_cast<int64_t>(gpu.size()), CUDNN_TYPE_CHAR)
      .finalize();
  LOCKSTEP_RETURN_IF_ERROR(description.status());
  const Target target{.description = &description};
  LOCKSTEP_ASSIGN_OR_RETURN(const Decision typical, first_that_builds(target, at_typical_batch(task), rules));
  return plan_like(typical, target, task, rules);
#else
  return absl::FailedPreconditionError(
      fmt::format("this cuDNN makes no plans for a described GPU ({} bytes, task {}, {})", gpu.size(), text_of(task),
                  rules.tensor_cores ? "tensor cores" : "float"));
#endif
}

absl::Status run(const CudnnUse& use, const ConvPlan& plan, const ConvTask& task, const ConvArrays& arrays,
                 void* workspace) {
  const std::array<const void*, 3> pointers{arrays.x, arrays.w, arrays.y};
  const std::array<int64_t, 3> ids{task.x.id, task.w.id, task.y.id};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "arrays");
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers.data(), 3, CUDNN_TYPE_VOID_PTR)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, &workspace, 1, CUDNN_TYPE_VOID_PTR)
      .finalize();
  LOCKSTEP_RETURN_IF_ERROR(pack.status());
  return annotate(
      cudnn_status(cudnnBackendExecute(use.handle(), plan.native.get(), pack.native()), "cudnnBackendExecute"),
      fmt::format("{} by {}", text_of(task), plan.engine));
}

}  // namespace lockstep::cudnn
