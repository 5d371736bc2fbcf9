#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lockstep_equality.sh RANKS : the weights of RANKS ranks, with 1 and 2 threads each, over both transports, are those of
# one rank with one thread; dropout and augmentation on. One layer is so wide that ranks which share memory exchange its
# operands instead of partial sums.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ranks=$1
flags=(--train_steps 25 --train_batch_size 50 --augment_shift 2 --augment_rotate 15 --lr_schedule cosine)
make_mnist_like
sed 's/units: 32,/units: 512,/' "$small_model" >"$work/model.yaml"
grep -q "units: 512" "$work/model.yaml" || fail "mnist_small.yaml has no layer to widen"
small_model=$work/model.yaml
train 1 "${flags[@]}" --output_dir "$work/one"
expected=$(sha "$work/one")
transports=(auto)
if [[ $ranks != 1 ]]; then transports=(shm mpi); fi
for transport in "${transports[@]}"; do
  for threads in 1 2; do
    out=$work/$transport-$threads
    train "$ranks" "${flags[@]}" --output_dir "$out" --threads "$threads" --transport "$transport"
    expect_equal "$expected" "$(sha "$out")" "weights_sha256 of $ranks ranks x $threads threads, transport $transport"
    expect_equal "$(field "$work/one" loss)" "$(field "$out" loss)" "evaluation loss of $ranks ranks"
    expect_equal "$ranks" "$(field "$out" ranks)" "ranks in run.json"
  done
done
