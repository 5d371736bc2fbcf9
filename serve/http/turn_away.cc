// SPDX-License-Identifier: Apache-2.0
#include "serve/http/turn_away.h"

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "serve/http/answer_text.h"
#include "serve/http/http_policy.h"

namespace lockstep {

void send_last_answer(int socket, HttpResponse response, std::string_view date) {
  char ignored[4096];
  // A request that has come would, unread, take back the answer when the socket is closed.
  [[maybe_unused]] ssize_t bytes = recv(socket, ignored, sizeof(ignored), MSG_DONTWAIT);
  std::string text;
  append_answer_head(response, {.keeps_alive = false, .date = date, .headers = ""}, text);
  text += response.body;
  bytes = send(socket, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  shutdown(socket, SHUT_WR);
}

void turn_away(int socket, bool is_tls, std::string_view date) {
  if (!is_tls) {
    HttpResponse response = http_error(503, "too many connections: try again later");
    response.headers = {{"Retry-After", "1"}};
    send_last_answer(socket, std::move(response), date);
  }
  close(socket);
}

}  // namespace lockstep
