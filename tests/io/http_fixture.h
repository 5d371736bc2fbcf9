// SPDX-License-Identifier: Apache-2.0
// A tiny HTTP/1.1 server on a loopback port of its own, one request a connection, that answers as a test wants.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace lockstep {

struct HttpReply {
  int status = 200;
  std::string body = "";
  // What Content-Length claims; -1: the truth.
  long long claimed_length = -1;
  std::string location = "";  // of a redirect
  bool stall = false;         // sends nothing until the server stops
  std::string raw = "";       // sent instead of all that, when there is any
};

class HttpFixture {
 public:
  // Paths not listed are answered with 404.
  explicit HttpFixture(std::map<std::string, HttpReply> replies);
  ~HttpFixture();

  std::string url(const std::string& path = "") const;
  int requests() const { return requests_; }
  int port() const { return port_; }
  // Head and body of each request that came.
  std::vector<std::string> received() const;

 private:
  void serve();
  void answer(int connection);

  const std::map<std::string, HttpReply> replies_;
  int listener_ = -1;
  int stop_pipe_[2] = {-1, -1};
  int port_ = 0;
  std::atomic<int> requests_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> received_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace lockstep
