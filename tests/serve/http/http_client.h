// SPDX-License-Identifier: Apache-2.0
// A client that sends whatever a test wants. Every wait ends after some seconds.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

class HttpClient {
 public:
  // To this port of this machine; CHECKs that it is accepted.
  explicit HttpClient(int port, bool ipv6 = false);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool send(std::string_view bytes);  // false when the server has closed
  void end();                         // nothing more is sent
  void reset();                       // breaks the connection off
  // One answer with its body, "" when the connection ends or nothing comes.
  std::string receive();
  // All until the server closes; "timeout" behind it when it does not.
  std::string receive_all();

 private:
  int socket_;
  std::string received_;
};

}  // namespace lockstep
