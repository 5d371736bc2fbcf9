// SPDX-License-Identifier: Apache-2.0
#include "core/train/device_train_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "core/nn/init.h"
#include "core/train/agree.h"
#include "core/train/lr_schedule.h"
#include "kernels/adam/adam.h"
#include "mpi/transports.h"

namespace lockstep {
namespace {

constexpr uint64_t kNoStep = ~uint64_t{0};

template <typename T>
absl::StatusOr<DeviceBuffer<T>> pinned(Device& device, int64_t size) {
  return DeviceBuffer<T>::allocate(device, static_cast<size_t>(size), DeviceBuffer<T>::Kind::kPinned);
}

template <typename T>
absl::StatusOr<DeviceBuffer<T>> on_device(Device& device, int64_t size) {
  return DeviceBuffer<T>::allocate(device, static_cast<size_t>(size));
}

// With plain all-reduces a rank has one partial sum, and its losses are summed the same way.
GradSlices slices_for(const Communicator& communicator, const TrainConfig& config) {
  const int rank = communicator.rank(), ranks = communicator.size();
  if (config.collective == "nccl") return GradSlices::single(TrainStep::local_examples(config, rank, ranks));
  return GradSlices::for_rank(rank, ranks, static_cast<int>(config.grad_slices), config.train_batch_size);
}

}  // namespace

// The losses of a step, then its number: when the number is there, so are the losses. The host looks at the number
// instead of an event, because events inside a graph are not the host's to ask.
struct DeviceTrainStep::Mailbox {
  DeviceBuffer<float> losses;
  DeviceBuffer<uint64_t> step;

  uint64_t delivered() const { return std::atomic_ref<uint64_t>(*step.data()).load(std::memory_order_acquire); }
};

// ---- construction ----

absl::StatusOr<std::unique_ptr<TrainStep>> DeviceTrainStep::create(Communicator& communicator, const Network& network,
                                                                   const TrainConfig& config,
                                                                   const KernelContext& kernel,
                                                                   Accelerator& accelerator, int64_t capacity) {
  std::unique_ptr<DeviceTrainStep> step(new DeviceTrainStep(communicator, network, config, kernel, accelerator));
  absl::Status made = step->make_streams();
  if (made.ok()) made = step->make_buffers(capacity);
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, made));
  made = step->make_reducer();
  if (made.ok()) made = step->initialize();
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, made));
  return step;
}

DeviceTrainStep::DeviceTrainStep(Communicator& communicator, const Network& network, const TrainConfig& config,
                                 const KernelContext& host_kernel, Accelerator& accelerator)
    : TrainStep(communicator, network, config, slices_for(communicator, config),
                make_grad_buckets(network.params(), network.layer_count())),
      host_kernel_(host_kernel),
      accelerator_(accelerator),
      device_(*accelerator.device),
      votes_(communicator) {}

// What is enqueued still uses the buffers.
DeviceTrainStep::~DeviceTrainStep() {
  for (const OwnedStream* stream : {&compute_, &update_}) {
    if (*stream) device_.synchronize(stream->get()).IgnoreError();
  }
}

absl::Status DeviceTrainStep::make_streams() {
  LOCKSTEP_ASSIGN_OR_RETURN(compute_, make_stream(device_));
  LOCKSTEP_ASSIGN_OR_RETURN(update_, make_stream(device_));
  for (OwnedEvent* event : {&losses_made_, &updated_, &step_done_, &waited_for_}) {
    LOCKSTEP_ASSIGN_OR_RETURN(*event, make_event(device_));
  }
  for (size_t bucket = 0; bucket < buckets_.buckets.size(); ++bucket) {
    LOCKSTEP_ASSIGN_OR_RETURN(gradients_made_.emplace_back(), make_event(device_));
  }
  graph_ = std::make_unique<StepGraph>(device_, compute_.get(), config_.cuda_graph);
  compute_context_ = device_context(accelerator_, config_, compute_.get());
  update_context_ = device_context(accelerator_, config_, update_.get());
  return absl::OkStatus();
}

absl::Status DeviceTrainStep::make_buffers(int64_t capacity) {
  LOCKSTEP_ASSIGN_OR_RETURN(input_, DeviceInput::create(device_, {.examples = slices_.examples(),
                                                                  .image_size = network_.input().size(),
                                                                  .floats = augment_.enabled()}));
  compute_context_.step_scalars = update_context_.step_scalars = input_->current().scalars;
  const int64_t workspace = Model::workspace_bytes(network_, kernel_on(compute_context_), slices_, capacity,
                                                   [this] { communicator_.note_progress(); });
  LOCKSTEP_ASSIGN_OR_RETURN(workspace_, on_device<std::byte>(device_, workspace));
  compute_context_.workspace = workspace_.data();
  compute_context_.workspace_bytes = workspace_.bytes();
  LOCKSTEP_ASSIGN_OR_RETURN(model_, Model::create_on(device_, network_, capacity, ModelUse::kTraining));
  LOCKSTEP_ASSIGN_OR_RETURN(inference_, DeviceInference::create(device_, network_, capacity));
  for (DeviceBuffer<float>* moment : {&m_, &v_}) {
    LOCKSTEP_ASSIGN_OR_RETURN(*moment, on_device<float>(device_, network_.params().buffer_size()));
    LOCKSTEP_RETURN_IF_ERROR(device_.fill_zero(moment->data(), moment->bytes(), update_.get()));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(device_losses_, on_device<float>(device_, slices_.examples()));
  mailbox_ = std::make_unique<Mailbox>();
  LOCKSTEP_ASSIGN_OR_RETURN(mailbox_->losses, pinned<float>(device_, slices_.examples()));
  LOCKSTEP_ASSIGN_OR_RETURN(mailbox_->step, pinned<uint64_t>(device_, 1));
  *mailbox_->step.data() = kNoStep;
  host_weights_ = AlignedBuffer<float>(static_cast<size_t>(network_.params().buffer_size()));
  return absl::OkStatus();
}

absl::Status DeviceTrainStep::make_reducer() {
  const GradReducerOptions options{.grad_slices = static_cast<int>(config_.grad_slices), .transport = "nccl"};
  LOCKSTEP_ASSIGN_OR_RETURN(
      GradPlan plan, agree_on_grad_plan(communicator_, options, network_.params().buffer_size(), buckets_.buckets));
  if (communicator_.size() == 1) {
    LOCKSTEP_ASSIGN_OR_RETURN(reducer_, make_local_device_grad_reducer(std::move(plan), device_, update_.get()));
    return absl::OkStatus();
  }
  LOCKSTEP_ASSIGN_OR_RETURN(reducer_,
                            accelerator_.make_nccl_reducer()(communicator_, std::move(plan), device_, update_.get(),
                                                             {.ordered = config_.collective != "nccl"}));
  return absl::OkStatus();
}

absl::Status DeviceTrainStep::initialize() {
  initialize_weights(network_.params(), static_cast<uint64_t>(config_.seed), host_weights_.data());
  host_weights_step_ = 0;
  return upload(host_weights_.data(), reducer_->weights());
}

// ---- waiting ----

absl::Status DeviceTrainStep::order(DeviceStream earlier, OwnedEvent& event, DeviceStream later) {
  LOCKSTEP_RETURN_IF_ERROR(device_.record(event.get(), earlier));
  return device_.wait(later, event.get());
}

// Polls, so that the wait is bounded whatever the GPU does: it may wait for a rank that is no more.
absl::Status DeviceTrainStep::wait_for_gpu(std::string_view what, const OwnedEvent& event,
                                           absl::FunctionRef<bool(bool)> done) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(config_.stall_timeout_secs);
  const absl::Status status = communicator_.wait_for_others(what, [&]() -> absl::StatusOr<bool> {
    if (done(false)) return true;
    LOCKSTEP_ASSIGN_OR_RETURN(const bool happened, device_.happened(event.get()));
    if (done(happened)) return true;
    if (happened) return absl::InternalError("the GPU is done, but what it was to deliver is not there");
    LOCKSTEP_RETURN_IF_ERROR(reducer_->check());
    // One rank waits for nobody, however long its steps are.
    if (communicator_.size() == 1 || Clock::now() < end) return false;
    return absl::DeadlineExceededError(
        fmt::format("no answer for {:g} s; transfers between GPUs are aborted", config_.stall_timeout_secs));
  });
  if (status.ok()) return status;
  reducer_->abort();
  return annotate(status, fmt::format("rank {} on {}, {}, waiting for {}", communicator_.rank(),
                                      communicator_.host_of(communicator_.rank()), device_.name(), what));
}

absl::Status DeviceTrainStep::wait_for_stream(std::string_view what, DeviceStream stream) {
  LOCKSTEP_RETURN_IF_ERROR(device_.record(waited_for_.get(), stream));
  return wait_for_gpu(what, waited_for_, [](bool happened) { return happened; });
}

absl::Status DeviceTrainStep::wait_for_losses() {
  if (!losses_pending_) return absl::OkStatus();
  const int64_t step = step_ - 1;
  LOCKSTEP_RETURN_IF_ERROR(wait_for_gpu(fmt::format("the losses of step {}", step), step_done_,
                                        [&](bool) { return mailbox_->delivered() == static_cast<uint64_t>(step); }));
  losses_pending_ = false;
  losses_.assign(mailbox_->losses.data(), mailbox_->losses.data() + slices_.examples());
  return check_losses_finite(step);
}

// The pass that made the losses has run, and the next one, which would overwrite its activations, is not enqueued. Not
// on the compute stream: what follows there may wait for ranks that stopped at the same error.
absl::StatusOr<std::string> DeviceTrainStep::first_nonfinite_layer() {
  DeviceContext context = compute_context_;
  context.stream = input_->copy_stream();
  return model_->first_nonfinite_layer(kernel_on(context), slices_.examples());
}

absl::Status DeviceTrainStep::finish() {
  LOCKSTEP_RETURN_IF_ERROR(wait_for_losses());
  return wait_for_stream("the end of a step", compute_.get());
}

// ---- the step ----

absl::Status DeviceTrainStep::run(const Batch& batch, uint32_t vote) {
  LOCKSTEP_CHECK_EQ(batch.step, step_);
  LOCKSTEP_CHECK_EQ(batch.examples(), slices_.examples());
  ScopedTimer timer(&times_.total_s);
  communicator_.note_progress();
  LOCKSTEP_RETURN_IF_ERROR(votes_.start(vote));
  LOCKSTEP_RETURN_IF_ERROR(stage(batch));
  LOCKSTEP_RETURN_IF_ERROR(wait_for_losses());
  LOCKSTEP_RETURN_IF_ERROR(input_->deliver(compute_.get()));
  LOCKSTEP_RETURN_IF_ERROR(graph_->run([this] { return enqueue_step(); }));
  LOCKSTEP_RETURN_IF_ERROR(device_.record(step_done_.get(), compute_.get()));
  losses_pending_ = true;
  advance();
  LOCKSTEP_ASSIGN_OR_RETURN(control_, votes_.finish());
  return absl::OkStatus();
}

absl::Status DeviceTrainStep::stage(const Batch& batch) {
  ScopedTimer timer(&times_.input_s);
  LOCKSTEP_ASSIGN_OR_RETURN(const InputBlock block, input_->next_block());
  *block.scalars = {.step = static_cast<uint64_t>(step_),
                    .learning_rate = learning_rate_at(config_, step_),
                    .beta1_power = beta1_power_,
                    .beta2_power = beta2_power_};
  std::copy(batch.labels.begin(), batch.labels.end(), block.labels);  // a rank's part of a small batch may be empty
  if (block.floats != nullptr) {
    augment(batch, host_kernel_.pool, block.floats);
  } else {
    std::copy(batch.images.begin(), batch.images.end(), block.bytes);
  }
  return input_->upload();
}

absl::Status DeviceTrainStep::enqueue_step() {
  const PassContext pass = training_pass(kernel_on(compute_context_));
  LOCKSTEP_RETURN_IF_ERROR(enqueue_forward(pass));
  LOCKSTEP_RETURN_IF_ERROR(enqueue_losses());
  next_bucket_ = 0;
  LOCKSTEP_RETURN_IF_ERROR(model_->backward(pass, reducer_->weights(),
                                            {reducer_->gradients(), reducer_->gradient_stride()}, {},
                                            [this](int layer) { return after_layer(layer); }));
  return order(update_.get(), updated_, compute_.get());
}

absl::Status DeviceTrainStep::enqueue_forward(const PassContext& pass) {
  const InputBlock& input = input_->current();
  if (input.floats != nullptr) {
    const size_t bytes = static_cast<size_t>(pass.examples * network_.input().size()) * sizeof(float);
    LOCKSTEP_RETURN_IF_ERROR(device_.copy(model_->input(), input.floats, bytes, compute_.get()));
  } else {
    LOCKSTEP_RETURN_IF_ERROR(model_->load_images(pass.kernel, input.bytes, pass.examples));
  }
  LOCKSTEP_RETURN_IF_ERROR(model_->forward(pass, reducer_->weights(), [this](int) {
    communicator_.note_progress();
    return absl::OkStatus();
  }));
  return model_->loss(pass, input.labels, grad_scale(), device_losses_.data());
}

absl::Status DeviceTrainStep::enqueue_losses() {
  LOCKSTEP_RETURN_IF_ERROR(order(compute_.get(), losses_made_, update_.get()));
  LOCKSTEP_RETURN_IF_ERROR(
      device_.copy(mailbox_->losses.data(), device_losses_.data(), device_losses_.bytes(), update_.get()));
  const uint64_t* const step = &input_->current().scalars->step;
  return device_.copy(mailbox_->step.data(), step, sizeof(*step), update_.get());
}

absl::Status DeviceTrainStep::after_layer(int layer) {
  communicator_.note_progress();
  const auto buckets = static_cast<int>(buckets_.buckets.size());
  while (next_bucket_ < buckets && buckets_.last_layer[static_cast<size_t>(next_bucket_)] == layer) {
    LOCKSTEP_RETURN_IF_ERROR(enqueue_bucket(next_bucket_));
    ++next_bucket_;
  }
  return absl::OkStatus();
}

absl::Status DeviceTrainStep::enqueue_bucket(int bucket) {
  LOCKSTEP_RETURN_IF_ERROR(order(compute_.get(), gradients_made_[static_cast<size_t>(bucket)], update_.get()));
  LOCKSTEP_RETURN_IF_ERROR(reducer_->reduce_scatter(bucket));
  LOCKSTEP_RETURN_IF_ERROR(enqueue_adam(reducer_->shard(bucket)));
  return reducer_->all_gather(bucket);
}

absl::Status DeviceTrainStep::enqueue_adam(const Shard& shard) {
  std::vector<GradTerm> terms;
  for (const ShardTerm& term : shard.terms) terms.push_back({term.data, term.slices});
  return adam_update(kernel_on(update_context_), adam_params(), shard.end - shard.begin, terms, m_.data() + shard.begin,
                     v_.data() + shard.begin, reducer_->weights() + shard.begin);
}

// ---- between steps ----

absl::Status DeviceTrainStep::upload(const float* from, float* to) {
  LOCKSTEP_RETURN_IF_ERROR(device_.copy(to, from, flat_bytes(), update_.get()));
  return wait_for_stream("a copy to the GPU", update_.get());
}

absl::Status DeviceTrainStep::download(const float* from, float* to) {
  LOCKSTEP_RETURN_IF_ERROR(device_.copy(to, from, flat_bytes(), update_.get()));
  return wait_for_stream("a copy from the GPU", update_.get());
}

absl::StatusOr<const float*> DeviceTrainStep::host_weights() {
  if (host_weights_step_ != step_) {
    LOCKSTEP_RETURN_IF_ERROR(download(reducer_->weights(), host_weights_.data()));
    host_weights_step_ = step_;
  }
  return host_weights_.data();
}

absl::StatusOr<HostState> DeviceTrainStep::host_state() {
  LOCKSTEP_RETURN_IF_ERROR(host_weights().status());
  LOCKSTEP_ASSIGN_OR_RETURN(const HostState state, state_to_fill());
  LOCKSTEP_RETURN_IF_ERROR(download(m_.data(), state.first_moment));
  LOCKSTEP_RETURN_IF_ERROR(download(v_.data(), state.second_moment));
  return state;
}

// Through the gradients, which nobody reads between steps.
absl::Status DeviceTrainStep::gather_moments(float* first, float* second) {
  for (const auto& [mine, full] : {std::pair(m_.data(), first), std::pair(v_.data(), second)}) {
    LOCKSTEP_RETURN_IF_ERROR(reducer_->gather_shards(mine, reducer_->gradients()));
    if (communicator_.rank() == 0) {
      LOCKSTEP_RETURN_IF_ERROR(download(reducer_->gradients(), full));
    } else {
      LOCKSTEP_RETURN_IF_ERROR(wait_for_stream("gathering optimizer state", update_.get()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<HostState> DeviceTrainStep::state_to_fill() {
  const auto size = static_cast<size_t>(network_.params().buffer_size());
  if (host_first_.size() == 0) {
    host_first_ = AlignedBuffer<float>(size);
    host_second_ = AlignedBuffer<float>(size);
  }
  return HostState{host_weights_.data(), host_first_.data(), host_second_.data()};
}

absl::Status DeviceTrainStep::restore(int64_t step, float beta1_power, float beta2_power) {
  LOCKSTEP_RETURN_IF_ERROR(TrainStep::restore(step, beta1_power, beta2_power));
  LOCKSTEP_RETURN_IF_ERROR(upload(host_weights_.data(), reducer_->weights()));
  LOCKSTEP_RETURN_IF_ERROR(upload(host_first_.data(), m_.data()));
  LOCKSTEP_RETURN_IF_ERROR(upload(host_second_.data(), v_.data()));
  host_weights_step_ = step;
  return absl::OkStatus();
}

absl::Status DeviceTrainStep::classify(int64_t examples, const uint8_t* images, const int32_t* labels, float* losses,
                                       float* logits) {
  LOCKSTEP_RETURN_IF_ERROR(
      inference_->enqueue(*model_, kernel_on(compute_context_), reducer_->weights(), examples, images, labels));
  LOCKSTEP_RETURN_IF_ERROR(wait_for_stream("an evaluation", compute_.get()));
  inference_->results(examples, losses, logits);
  return absl::OkStatus();
}

}  // namespace lockstep
