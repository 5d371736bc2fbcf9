// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <thread>

#include "core/base/host_info.h"
#include "core/base/log.h"
#include "serve/commands/command_line.h"
#include "serve/commands/commands.h"
#include "serve/commands/serve_grpc.h"
#include "serve/commands/token_file.h"
#include "serve/console/console.h"
#include "serve/http/http_server.h"
#include "serve/http/socket_transport.h"
#include "serve/models/directory_source.h"
#include "serve/models/model_store.h"
#include "serve/registry/registry_home.h"
#include "serve/registry/registry_source.h"
#include "serve/rest/metrics.h"
#include "serve/rest/pages.h"
#include "serve/rest/router.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr seconds kLastResort{2};
// `timeout`, service managers and impatient users send a signal twice at once. One that comes later is meant.
constexpr seconds kSameSignal{1};

struct ServeOptions {
  std::string model_name = "default", model_base_path, token_file;
  int64_t poll_wait_seconds = 1, request_timeout_ms = 30000, drain_seconds = 30;
  int threads = 0;
  StoreOptions store;
  HttpServerOptions http;
  GrpcFlags grpc;
};

// Signals that end the program, as something to wait for. They must be blocked before any thread is started.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);  // a log that nobody reads any more is no reason to end
  }
  int wait() const {
    int signal = 0;
    while (sigwait(&signals_, &signal) != 0) {
    }
    return signal;
  }
  // Forgets those that have come since. From here on another one ends the program at once, as by default: one thread
  // that takes it is enough.
  void unblock() const {
    const timespec no_time{};
    while (sigtimedwait(&signals_, nullptr, &no_time) > 0) {
    }
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  }

 private:
  sigset_t signals_{};
};

std::optional<HttpResponse> console_page(const HttpRequest& request) {
  const ConsoleFile* file = find_console_file(request.path);
  if (file == nullptr) return std::nullopt;
  return page_response(request, *file);
}

std::string url_of(const HttpServerOptions& http, int port) {
  return fmt::format("{}://{}", http.tls_certificate.empty() ? "http" : "https", host_and_port(http.address, port));
}

void print_settings(const ServeOptions& options, int port) {
  const std::string url = url_of(options.http, port);
  LOG_INFO("REST API at {}/v1/models, page to draw on at {}/, metrics at {}/monitoring/prometheus/metrics", url, url,
           url);
  LOG_INFO(
      "Settings: threads={} max_batch_size={} max_queue={} rest_api_timeout_in_ms={} drain_seconds={} token={} cors={}",
      options.store.servable.threads, options.store.servable.max_batch_size, options.store.servable.max_queue_examples,
      options.request_timeout_ms, options.drain_seconds, options.http.bearer_token.empty() ? "no" : "yes",
      options.http.cors_allow_origin.empty() ? "no" : options.http.cors_allow_origin);
}

// In the text format of Prometheus.
std::string connection_metrics(const HttpServerCounts& counts) {
  constexpr std::string_view kConnections = "lockstep_serving_http_connections";
  return metric_heading(kConnections, "gauge", "Connections that are open.") +
         fmt::format("{} {}\n", kConnections, counts.connections) +
         event_counters("lockstep_serving_http_total", "What became of connections and requests.",
                        {{"connection_accepted", counts.accepted},
                         {"connection_turned_away", counts.turned_away},
                         {"connection_made_room", counts.made_room},
                         {"request", counts.requests},
                         {"malformed", counts.malformed},
                         {"timed_out", counts.timed_out}});
}

// Ends the program when requests are left that do not end: what they use must not be destroyed under them.
void drain(const ServeOptions& options, ModelStore& store, HttpServer& http, GrpcServer* grpc,
           const StopSignals& signals, int signal) {
  LOG_INFO("{}: answering what has begun, within {} s", signal == SIGTERM ? "SIGTERM" : "SIGINT",
           options.drain_seconds);
  const Clock::time_point by = Clock::now() + seconds(options.drain_seconds);
  const auto left = [by] {
    return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(by - Clock::now()));
  };
  // A loader that hangs on a dead disk must not keep the program alive.
  std::thread([by, signals] {
    std::this_thread::sleep_for(kSameSignal);
    signals.unblock();
    std::this_thread::sleep_until(by + kLastResort);
    LOG_ERROR("still not stopped {} s after the time for draining: giving up", kLastResort.count());
    std::_Exit(1);
  }).detach();
  // /readyz says 503 from here on. Connections end before the store is waited for: clients that keep sending would keep
  // it busy.
  store.drain(milliseconds(0));
  std::thread grpc_stop([&] {
    if (grpc != nullptr) grpc->stop(left());
  });
  http.stop(left());
  grpc_stop.join();
  if (!store.drain(left())) {
    LOG_ERROR("requests still ran when the time for draining was over");
    std::_Exit(1);
  }
  LOG_INFO("Stopped; every request that had come in whole has been answered");
}

// An unset variable of a script must not mean the registry.
CLI::Validator not_empty() {
  return CLI::Validator([](const std::string& text) { return text.empty() ? "expected a path, got nothing" : ""; }, "");
}

bool is_loopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

void secure(ServeOptions& options) {
  options.http.open_paths = {"/", "/console/", "/healthz", "/readyz"};
  // Two at a time of the largest, at least.
  options.http.max_unfinished_bytes = std::max(options.http.max_unfinished_bytes, 2 * options.http.max_body_bytes);
  // What is for this machine alone is not for the pages that a browser on it shows.
  if (is_loopback(options.http.address) && options.http.bearer_token.empty()) {
    options.http.allowed_hosts.emplace_back("localhost");
  }
}

// A directory's model, or the registry's.
absl::StatusOr<std::unique_ptr<VersionSource>> make_source(const ServeOptions& options) {
  const milliseconds poll_wait(1000 * options.poll_wait_seconds);
  if (!options.model_base_path.empty()) {
    return make_directory_source({options.model_name, options.model_base_path, poll_wait});
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string home, registry_home());
  LOG_INFO("Serving the registry of models in {}; --model_base_path would serve a directory", home);
  return make_registry_source({home, poll_wait});
}

// What can be seen to fail before a model is loaded.
absl::Status check_listening(const ServeOptions& options) {
  const HttpServerOptions& http = options.http;
  if (!options.grpc.is_off && http.port != 0 && http.port == options.grpc.port) {
    return absl::InvalidArgumentError(fmt::format(
        "--rest_api_port and --port are both {}: REST and gRPC take a port each (--no_grpc: no gRPC)", http.port));
  }
  if (http.tls_certificate.empty()) return absl::OkStatus();
  return annotate(make_tls_context(http.tls_certificate, http.tls_key).status(), "--tls_certificate, --tls_key");
}

absl::Status run(ServeOptions options) {
  const StopSignals signals;
  init_logging(0);
  options.store.servable.threads = options.threads > 0 ? options.threads : available_cores();
  options.http.request_timeout = milliseconds(options.request_timeout_ms);
  if (!options.token_file.empty()) {
    LOCKSTEP_ASSIGN_OR_RETURN(options.http.bearer_token, read_token(options.token_file));
  }
  LOCKSTEP_RETURN_IF_ERROR(check_listening(options));
  secure(options);
  ServingMetrics metrics;
  RestOptions rest;
  rest.pages = console_page;
  rest.bearer_token = options.http.bearer_token;
  ModelStore store(options.store);
  LOCKSTEP_ASSIGN_OR_RETURN(const auto source, make_source(options));
  LOCKSTEP_RETURN_IF_ERROR(source->start(store));
  // Before REST: /readyz must not say yes while gRPC does not listen.
  LOCKSTEP_ASSIGN_OR_RETURN(const auto grpc, start_grpc(options.grpc, options.http, rest, store, metrics));
  auto started = HttpServer::start(options.http, make_rest_handler(store, metrics, rest));
  if (!started.ok()) return annotate(started.status(), fmt::format("REST (--rest_api_port {})", options.http.port));
  const std::unique_ptr<HttpServer> http = *std::move(started);
  metrics.add_source([&server = *http] { return connection_metrics(server.counts()); });
  print_settings(options, http->port());
  const int signal = signals.wait();
  // The source goes on for so long: where its disk hangs, the requests that run must be answered none the less.
  drain(options, store, *http, grpc.get(), signals, signal);
  return absl::OkStatus();
}

void add_limits(CLI::App* serve, ServeOptions& options) {
  serve->add_option("--max_batch_size", options.store.servable.max_batch_size, "Most examples in one pass of the model")
      ->type_name("examples")
      ->check(CLI::Range(1, 4096));
  serve
      ->add_option("--max_queue", options.store.servable.max_queue_examples,
                   "Most examples that wait for a pass; further requests are answered 503")
      ->type_name("examples")
      ->check(CLI::Range(1, 1 << 24));
  serve
      ->add_option("--max_connections", options.http.max_connections,
                   "Most connections at a time, of REST and of gRPC each")
      ->type_name("connections")
      ->check(CLI::Range(1, 1 << 20));
  serve->add_option("--max_body_bytes", options.http.max_body_bytes, "Largest body of a request")
      ->type_name("bytes")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32));
  serve
      ->add_option("--rest_api_timeout_in_ms", options.request_timeout_ms,
                   "A request that takes longer is answered 504")
      ->type_name("milliseconds")
      ->check(CLI::Range(1, 3'600'000));
  serve->add_option("--drain_seconds", options.drain_seconds, "How long requests may still run after SIGTERM or SIGINT")
      ->type_name("seconds")
      ->check(CLI::Range(0, 3600));
}

void add_security(CLI::App* serve, ServeOptions& options) {
  serve->add_option("--address", options.http.address, "Where to listen: this host only, unless you say 0.0.0.0 or ::")
      ->type_name("IP");
  CLI::Option* certificate = serve
                                 ->add_option("--tls_certificate", options.http.tls_certificate,
                                              "Serve https with this certificate (PEM); needs --tls_key")
                                 ->type_name("FILE")
                                 ->check(CLI::ExistingFile);
  CLI::Option* key = serve->add_option("--tls_key", options.http.tls_key, "The key of --tls_certificate (PEM)")
                         ->type_name("FILE")
                         ->check(CLI::ExistingFile);
  certificate->needs(key);
  key->needs(certificate);
  serve
      ->add_option("--auth_token_file", options.token_file,
                   "Answer only those who send the token on this file's first line as \"Authorization: Bearer TOKEN\"")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  serve
      ->add_option("--cors_allow_origin", options.http.cors_allow_origin,
                   "Web pages of this origin may call the server; * is any")
      ->type_name("ORIGIN");
  serve
      ->add_option(
          "--allow_host", options.http.allowed_hosts,
          "Names by which this server is asked, besides addresses and names without a dot; others are answered "
          "421. May be given several times; none: any name, but localhost only where --address is this host "
          "and there is no token")
      ->type_name("HOST");
}

}  // namespace

void add_serve_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<ServeOptions>();
  options->http.port = 8501;  // that of TensorFlow Serving's container
  CLI::App* serve = app.add_subcommand(
      "serve",
      "Answer predictions over REST and gRPC as TensorFlow Serving does, with a page on which to draw a digit");
  serve->option_defaults()->always_capture_default();
  CLI::Option* base_path =
      serve
          ->add_option(
              "--model_base_path,--model-base-path", options->model_base_path,
              "The model: a directory of numbered versions (the newest is served, and the next when it appears), a "
              "training run, or one exported model. Without it all models of the registry are served, which `lockstep "
              "models` and `lockstep versions` fill, in $LOCKSTEP_HOME (default ~/.lockstep)")
          ->type_name("PATH")
          ->check(not_empty());
  serve->add_option("--model_name,--model-name", options->model_name, "Its name in requests")
      ->type_name("NAME")
      ->needs(base_path);
  serve->add_option("--rest_api_port,--rest-api-port", options->http.port, "Port of the REST API; 0: any free one")
      ->type_name("PORT")
      ->check(CLI::Range(0, 65535));
  add_grpc_flags(*serve, options->grpc);
  serve
      ->add_option("--file_system_poll_wait_seconds", options->poll_wait_seconds,
                   "How often --model_base_path, or the registry, is looked at for a new version")
      ->type_name("seconds")
      ->check(CLI::Range(1, 86400));
  serve->add_option("--threads", options->threads, "CPU threads of a pass; 0: all cores")
      ->type_name("threads")
      ->check(CLI::Range(0, 1024));
  add_limits(serve, *options);
  add_security(serve, *options);
  serve->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace lockstep
