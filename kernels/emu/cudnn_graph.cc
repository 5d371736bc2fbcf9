// SPDX-License-Identifier: Apache-2.0
// The emulated cuDNN's graph API: descriptors, their attributes, and what becomes of them.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "kernels/emu/cudnn_emulator.h"

namespace lockstep::emu {
namespace {

// What may be set: of which descriptors, with which type, how many elements (0: any number).
struct AttributeRule {
  cudnnBackendDescriptorType_t owner;
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  int64_t count = 1;
  bool required = true;
};
const AttributeRule kRules[] = {
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR},
    {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR},
    {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64},
    {CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE},
    {CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64},
    {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR},
    {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, false},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR},
};

// The five attributes of each pass's operation.
struct PassNames {
  cudnnBackendDescriptorType_t type;
  ConvKind kind;
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};
const PassNames kPasses[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, ConvKind::kForward,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, ConvKind::kInputGrad,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, ConvKind::kFilterGrad,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};
const PassNames* pass_of(cudnnBackendDescriptorType_t type) {
  const auto pass = std::find_if(std::begin(kPasses), std::end(kPasses), [=](const auto& p) { return p.type == type; });
  return pass == std::end(kPasses) ? nullptr : &*pass;
}

std::vector<AttributeRule> rules_of(cudnnBackendDescriptorType_t type) {
  std::vector<AttributeRule> rules;
  std::copy_if(std::begin(kRules), std::end(kRules), std::back_inserter(rules),
               [=](const AttributeRule& rule) { return rule.owner == type; });
  if (const PassNames* const pass = pass_of(type); pass != nullptr) {
    for (const auto name : {pass->x, pass->w, pass->y, pass->convolution}) {
      rules.push_back({type, name, CUDNN_TYPE_BACKEND_DESCRIPTOR});
    }
    for (const auto name : {pass->alpha, pass->beta}) rules.push_back({type, name, CUDNN_TYPE_FLOAT});
  }
  return rules;
}

size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    case CUDNN_TYPE_BOOLEAN:
      return 1;
    default:
      return 4;
  }
}

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, std::vector<unsigned char>> attributes;

  template <typename T>
  T get(cudnnBackendAttributeName_t name, size_t i = 0) const {
    T value{};
    const auto found = attributes.find(name);
    if (found != attributes.end()) std::memcpy(&value, found->second.data() + i * sizeof(T), sizeof(T));
    return value;
  }
  template <typename T>
  void put(cudnnBackendAttributeName_t name, const T& value) {
    std::vector<unsigned char>& bytes = attributes[name];
    bytes.resize(sizeof(T));
    std::memcpy(bytes.data(), &value, sizeof(T));
  }
  template <typename T>
  size_t count(cudnnBackendAttributeName_t name) const {
    const auto found = attributes.find(name);
    return found == attributes.end() ? 0 : found->second.size() / sizeof(T);
  }
};

std::recursive_mutex mutex;
std::set<Descriptor*> live;
std::vector<int64_t> enqueued_engines;

// Null where it was destroyed, or never was.
Descriptor* living(cudnnBackendDescriptor_t native) {
  auto* const descriptor = static_cast<Descriptor*>(native);
  return live.contains(descriptor) ? descriptor : nullptr;
}
Descriptor* child(const Descriptor& parent, cudnnBackendAttributeName_t name, size_t i = 0) {
  return living(parent.get<cudnnBackendDescriptor_t>(name, i));
}

cudnnStatus_t not_finalized() {
  return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "a descriptor is not final");
}

// ---- Engines.

std::vector<cudnnBackendNumericalNote_t> notes_of(int64_t engine) {
  switch (engine) {
    case kEngineUnordered:
      return {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
    case kEngineHalf:
      return {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS};
    case kEngineTf32:
      return {CUDNN_NUMERICAL_NOTE_TENSOR_CORE};
    case kEngineWinograd:
      return {CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4};
    default:
      return {};
  }
}

ConvTensorView tensor_of(const Descriptor& d) {
  ConvTensorView t;
  t.id = d.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
  t.alignment = d.get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  for (size_t i = 0; i < 4; ++i) {
    t.dims[i] = d.get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i);
    t.strides[i] = d.get<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, i);
  }
  return t;
}

// False where a descriptor that it needs is gone.
bool read_work(const Descriptor& graph, ConvWork* work) {
  const Descriptor* const operation = child(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
  if (operation == nullptr) return false;
  const PassNames& pass = *pass_of(operation->type);
  const Descriptor* const x = child(*operation, pass.x);
  const Descriptor* const w = child(*operation, pass.w);
  const Descriptor* const y = child(*operation, pass.y);
  const Descriptor* const convolution = child(*operation, pass.convolution);
  if (x == nullptr || w == nullptr || y == nullptr || convolution == nullptr) return false;
  work->kind = pass.kind;
  work->x = tensor_of(*x);
  work->w = tensor_of(*w);
  work->y = tensor_of(*y);
  for (size_t i = 0; i < 2; ++i) {
    work->pad_before[i] = convolution->get<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i);
    work->pad_after[i] = convolution->get<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i);
    work->stride[i] = convolution->get<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i);
  }
  return true;
}

bool evenly_padded(const ConvWork& work) {
  return work.pad_before[0] == work.pad_after[0] && work.pad_before[1] == work.pad_after[1];
}

bool suits(int64_t engine, const ConvWork& work) {
  if (!evenly_padded(work)) return false;
  const int64_t R = work.w.dims[2], S = work.w.dims[3];
  switch (engine) {
    case kEngineTf32:
    case kEngineHalf:
      return work.x.alignment >= 16 && work.y.alignment >= 16 && work.x.dims[1] % 4 == 0 && work.y.dims[1] % 4 == 0;
    case kEngineWinograd:
      return work.stride[0] == 1 && R == S && (R == 3 || R == 5);
    default:
      return true;
  }
}

// Heuristics look at the whole shape; so does an engine that is left to choose.
constexpr int64_t kNoParts = 0, kChooseParts = -1;
int64_t parts_for(const ConvWork& work) { return 1 + work.x.dims[0] % 7; }

struct Offer {
  int64_t engine, parts = kNoParts;
};
std::vector<Offer> offers(cudnnBackendHeurMode_t mode, const ConvWork& work) {
  if (cudnn_fault() == CudnnFault::kNoEngine) return {};
  std::vector<Offer> offers{{kEngineFallback}};
  if (mode == CUDNN_HEUR_MODE_A) {
    offers = {{kEngineUnordered},
              {kEngineHalf},
              {kEngineTf32},
              {kEngineWinograd},
              {kEngineSplitFloat, kChooseParts},
              {kEngineSplitFloat, parts_for(work)}};
  }
  std::erase_if(offers, [&](const Offer& offer) { return !suits(offer.engine, work); });
  return offers;
}

bool consistent(const ConvWork& p) {
  for (size_t i = 0; i < 2; ++i) {
    const int64_t in = p.x.dims[2 + i] + p.pad_before[i] + p.pad_after[i];
    if (p.y.dims[2 + i] != (in - p.w.dims[2 + i]) / p.stride[i] + 1) return false;
  }
  return p.x.dims[0] == p.y.dims[0] && p.x.dims[1] == p.w.dims[1] && p.y.dims[1] == p.w.dims[0];
}

// ---- What finalizing a descriptor checks.

cudnnStatus_t check_operation(const Descriptor& d, const PassNames& pass) {
  if (d.get<float>(pass.alpha) != 1 || d.get<float>(pass.beta) != 0) {
    return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "alpha is not 1, or beta is not 0");
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_convolution(const Descriptor& d) {
  const bool plain = d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) == 2 &&
                     d.get<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT &&
                     d.get<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION &&
                     d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, 0) == 1 &&
                     d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, 1) == 1;
  return plain ? CUDNN_STATUS_SUCCESS : cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "not a plain 2-D convolution");
}

cudnnStatus_t check_graph(const Descriptor& d) {
  ConvWork work;
  if (!read_work(d, &work)) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a part of the graph was destroyed");
  if (!consistent(work)) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "sizes that do not go together");
  return CUDNN_STATUS_SUCCESS;
}

// The work of a configuration, its arrays apart. False where something that it needs is gone.
bool read_config(const Descriptor& config, ConvWork* work) {
  const Descriptor* const engine = child(config, CUDNN_ATTR_ENGINECFG_ENGINE);
  if (engine == nullptr) return false;
  const Descriptor* const graph = child(*engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
  if (graph == nullptr || !read_work(*graph, work)) return false;
  work->engine = engine->get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  for (size_t i = 0; i < config.count<cudnnBackendDescriptor_t>(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES); ++i) {
    const Descriptor* const knob = child(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, i);
    if (knob == nullptr) return false;
    const auto type = knob->get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE);
    if (type == CUDNN_KNOB_TYPE_SPLIT_K_BUF) {
      work->parts = knob->get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
    }
  }
  if (work->parts == kChooseParts) work->parts = parts_for(*work);
  // An odd number of bytes, so that nobody counts on an alignment.
  work->workspace_bytes = work->engine == kEngineSplitFloat ? 100 * work->parts + 4 * work->x.dims[0] + 3 : 0;
  return true;
}

cudnnStatus_t finalize_plan(Descriptor& d) {
  if (cudnn_fault() == CudnnFault::kNoPlan) return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "not this shape");
  if (cudnn_fault() == CudnnFault::kNoMemory) {
    return cudnn_refuse(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, "no memory for the plan");
  }
  ConvWork work;
  const Descriptor* const config = child(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (config == nullptr || !read_config(*config, &work)) {
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a part of the plan was destroyed");
  }
  if (work.engine == kEngineSplitFloat && work.y.dims[1] == 1) {
    return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "a single filter cannot be split");
  }
  const bool refuses_batch = cudnn_fault() == CudnnFault::kNoPlanFromBatch ||
                             (cudnn_fault() == CudnnFault::kNoSplitFromBatch && work.engine == kEngineSplitFloat);
  if (refuses_batch && work.x.dims[0] >= cudnn_fault_batch()) {
    return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "too many examples");
  }
  d.put(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, work.workspace_bytes);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize(Descriptor& d) {
  for (const AttributeRule& rule : rules_of(d.type)) {
    if (rule.required && !d.attributes.contains(rule.name)) {
      return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, fmt::format("attribute {} is not set", static_cast<int>(rule.name)));
    }
  }
  if (const PassNames* const pass = pass_of(d.type); pass != nullptr) return check_operation(d, *pass);
  switch (d.type) {
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return check_convolution(d);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return check_graph(d);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return finalize_plan(d);
    default:
      return CUDNN_STATUS_SUCCESS;
  }
}

// ---- What can be asked.

// The heuristics' configurations, into descriptors that the caller made.
cudnnStatus_t get_results(const Descriptor& heuristics, int64_t room, int64_t* count, void* elements) {
  const Descriptor* const graph = child(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  ConvWork work;
  if (graph == nullptr || !read_work(*graph, &work)) {
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "the heuristics' graph was destroyed");
  }
  const std::vector<Offer> all = offers(heuristics.get<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE), work);
  *count = static_cast<int64_t>(all.size());
  for (size_t i = 0; i < std::min(all.size(), static_cast<size_t>(room)); ++i) {
    Descriptor* const config = living(static_cast<cudnnBackendDescriptor_t*>(elements)[i]);
    if (config == nullptr || config->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) {
      return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "no configuration to write to");
    }
    // What a recommended configuration knows is asked for below.
    config->put(CUDNN_ATTR_ENGINECFG_ENGINE, all[i].engine);
    config->put(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, all[i].parts);
    config->finalized = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_engine(const Descriptor& config, int64_t room, int64_t* count, void* elements) {
  *count = 1;
  Descriptor* const engine = room < 1 ? nullptr : living(static_cast<cudnnBackendDescriptor_t*>(elements)[0]);
  if (engine == nullptr || engine->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR) {
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "no engine to write to");
  }
  engine->put(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, config.get<int64_t>(CUDNN_ATTR_ENGINECFG_ENGINE));
  engine->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_knobs(const Descriptor& config, int64_t room, int64_t* count, void* elements) {
  const auto parts = config.get<int64_t>(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
  *count = parts == kNoParts ? 0 : 1;
  if (parts == kNoParts || room < 1) return CUDNN_STATUS_SUCCESS;
  Descriptor* const knob = living(static_cast<cudnnBackendDescriptor_t*>(elements)[0]);
  if (knob == nullptr || knob->type != CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR) {
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "no knob to write to");
  }
  knob->put(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_KNOB_TYPE_SPLIT_K_BUF);
  knob->put(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, parts);
  knob->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_notes(const Descriptor& engine, int64_t room, int64_t* count, void* elements) {
  const auto notes = notes_of(engine.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  *count = static_cast<int64_t>(notes.size());
  std::copy_n(notes.begin(), std::min(room, *count), static_cast<cudnnBackendNumericalNote_t*>(elements));
  return CUDNN_STATUS_SUCCESS;
}

template <typename T>
cudnnStatus_t get_value(const Descriptor& d, cudnnBackendAttributeName_t name, int64_t room, int64_t* count,
                        void* elements) {
  *count = 1;
  if (room > 0) *static_cast<T*>(elements) = d.get<T>(name);
  return CUDNN_STATUS_SUCCESS;
}

// ---- Execution.

cudnnStatus_t execute(cudnnHandle_t handle, const Descriptor& plan, const Descriptor& pack) {
  ConvWork work;
  const Descriptor* const config = child(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (config == nullptr || !read_config(*config, &work)) {
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a part of the plan was destroyed");
  }
  for (size_t i = 0; i < 3; ++i) {
    const auto id = pack.get<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i);
    const auto* const data = pack.get<const float*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
    const std::pair<const ConvTensorView*, const float**> places[] = {
        {&work.x, &work.x_data}, {&work.w, &work.w_data}, {&work.y, &work.y_data}};
    for (const auto& [tensor, place] : places) {
      if (tensor->id != id) continue;
      *place = data;
      if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(tensor->alignment) != 0) {
        return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "an array is not aligned as its tensor says");
      }
    }
  }
  work.workspace = pack.get<char*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  const bool missing = work.x_data == nullptr || work.w_data == nullptr || work.y_data == nullptr ||
                       (work.workspace_bytes > 0 && work.workspace == nullptr);
  if (missing) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "an array of the plan is missing");
  enqueued_engines.push_back(work.engine);
  return convolve(handle, work);
}

}  // namespace

std::vector<int64_t> take_cudnn_engines() {
  const std::lock_guard lock(mutex);
  return std::exchange(enqueued_engines, {});
}

}  // namespace lockstep::emu

// NOLINTBEGIN: the names are cuDNN's.
using namespace lockstep::emu;

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  const std::lock_guard lock(mutex);
  Descriptor* const made = new Descriptor{type, false, {}};
  live.insert(made);
  *descriptor = made;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t native) {
  const std::lock_guard lock(mutex);
  Descriptor* const descriptor = living(native);
  if (descriptor == nullptr) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that does not exist");
  live.erase(descriptor);
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t native) {
  const std::lock_guard lock(mutex);
  Descriptor* const descriptor = living(native);
  if (descriptor == nullptr) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that does not exist");
  const cudnnStatus_t status = finalize(*descriptor);
  descriptor->finalized = status == CUDNN_STATUS_SUCCESS;
  return status;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t native, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* elements) {
  const std::lock_guard lock(mutex);
  Descriptor* const descriptor = living(native);
  if (descriptor == nullptr) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that does not exist");
  if (descriptor->finalized) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that is final already");
  const auto rules = rules_of(descriptor->type);
  const auto rule = std::find_if(rules.begin(), rules.end(), [=](const auto& r) { return r.name == name; });
  if (rule == rules.end()) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "not an attribute of this descriptor");
  if (rule->type != type) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "an attribute of another type");
  if (elements == nullptr || (rule->count != 0 && rule->count != count))
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "another number of elements");
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < count; ++i) {
      const Descriptor* const other = living(static_cast<const cudnnBackendDescriptor_t*>(elements)[i]);
      if (other == nullptr) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that does not exist");
      if (!other->finalized) return not_finalized();
    }
  }
  const auto* const bytes = static_cast<const unsigned char*>(elements);
  descriptor->attributes[name].assign(bytes, bytes + static_cast<size_t>(count) * size_of(type));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t native, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t* count, void* elements) {
  const std::lock_guard lock(mutex);
  const Descriptor* const descriptor = living(native);
  if (descriptor == nullptr) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that does not exist");
  if (!descriptor->finalized) return not_finalized();
  const auto wants = [&](cudnnBackendAttributeName_t wanted, cudnnBackendAttributeType_t wanted_type) {
    return name == wanted && type == wanted_type;
  };
  if (wants(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR))
    return get_results(*descriptor, room, count, elements);
  if (wants(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR))
    return get_engine(*descriptor, room, count, elements);
  if (wants(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR))
    return get_knobs(*descriptor, room, count, elements);
  if (wants(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE))
    return get_notes(*descriptor, room, count, elements);
  if (wants(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE))
    return get_value<cudnnBackendKnobType_t>(*descriptor, name, room, count, elements);
  if (wants(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64) ||
      wants(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64) ||
      wants(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64))
    return get_value<int64_t>(*descriptor, name, room, count, elements);
  return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "nothing that can be asked for, or not with this type");
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t native_plan,
                                  cudnnBackendDescriptor_t native_pack) {
  const std::lock_guard lock(mutex);
  const Descriptor* const plan = living(native_plan);
  const Descriptor* const pack = living(native_pack);
  if (handle == nullptr || plan == nullptr || pack == nullptr)
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a descriptor that does not exist");
  if (!plan->finalized || !pack->finalized) return not_finalized();
  if (cudnn_fault() == CudnnFault::kRunFails) return cudnn_refuse(CUDNN_STATUS_EXECUTION_FAILED, "the launch failed");
  return execute(handle, *plan, *pack);
}
// NOLINTEND
