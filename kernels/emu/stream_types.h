// SPDX-License-Identifier: Apache-2.0
// What stream.cc and graph.cc share: the objects behind CUDA's handles.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/emu/stream.h"

namespace lockstep::emu {

struct Capture;

// A place in a stream, or in a graph that is being captured, that others wait for.
struct Mark {
  CUstream_st* stream = nullptr;
  bool done = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<Capture> capture;
  std::vector<int> nodes;  // of the capture: those that come before
};

// One of the three.
struct Item {
  Work work;
  std::shared_ptr<Mark> record, wait;
};

struct Node {
  Work work;
  std::vector<int> after;  // nodes that must have run
};

}  // namespace lockstep::emu

struct CUgraph_st {
  std::vector<lockstep::emu::Node> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const CUgraph_st> graph;
};
struct CUstream_st {
  std::deque<lockstep::emu::Item> queue;
  std::shared_ptr<lockstep::emu::Capture> capture;
  std::vector<int> nodes;  // of the capture: what the next node comes after
};
struct CUevent_st {
  bool timed = true;
  std::shared_ptr<lockstep::emu::Mark> mark;  // of the last record; null: never recorded, which counts as done
};

namespace lockstep::emu {

struct Capture {
  CUstream_st* origin = nullptr;
  std::set<CUstream_st*> streams;
  CUgraph_st graph;
  bool invalid = false;
  bool ended = false;
};

// Every handle that exists.
struct Runtime {
  CUstream_st default_stream;
  std::set<CUstream_st*> streams{&default_stream};
  std::set<CUevent_st*> events;
  std::set<CUgraph_st*> graphs;
  std::set<CUgraphExec_st*> execs;
  uint64_t graph_launches = 0;
};
Runtime& runtime();

// Null: no such stream.
CUstream_st* stream_of(cudaStream_t stream);
cudaError_t error(cudaError_t code, std::string text);
cudaError_t bad_handle(const char* what);
// `call` is not allowed while a stream captures, and breaks the capture.
cudaError_t invalidate(Capture& capture, const char* call);
void add_node(CUstream_st& stream, Work work);

}  // namespace lockstep::emu
