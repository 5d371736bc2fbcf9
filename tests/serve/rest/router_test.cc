// SPDX-License-Identifier: Apache-2.0
// The whole API without sockets, against a served model of 4 x 3 pixels and 3 classes.
#include "serve/rest/router.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "serve/rest/http_status.h"
#include "serve/rest/pages.h"
#include "tests/serve/model_fixture.h"
#include "tests/serve/rest/ask_handler.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using Clock = std::chrono::steady_clock;

constexpr char kFlat[] = "[0, 0.5, 1, 0, 0.25, 0, 1, 1, 0, 0, 0.125, 1]";

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    write_run(directory_.file("model"));
    RestOptions options;
    options.most_examples = 50;
    options.pages = [](const HttpRequest& request) -> std::optional<HttpResponse> {
      if (request.path != "/") return std::nullopt;
      return text_response(200, "page");
    };
    handler_ = make_rest_handler(store_, metrics_, options);
  }

  // Versions 1 ("v1") and 2 ("v2") of mnist; 2 is the default.
  void serve() {
    const std::string path = directory_.file("model");
    store_.set_wanted("test", {{"mnist", {{1, "v1", path}, {2, "v2", path}}, std::nullopt}});
    wait_for([&] { return store_.ready() && store_.find({"mnist", 1, ""}).ok(); });
  }

  template <typename Condition>
  static void wait_for(Condition condition) {
    const auto by = Clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      ASSERT_LT(Clock::now(), by);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  HttpResponse ask(HttpRequest request) { return ask_handler(handler_, std::move(request)); }

  static HttpRequest make_request(const std::string& method, const std::string& path, const std::string& body = "",
                                  const std::string& type = "") {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.body = body;
    if (!type.empty()) request.headers.emplace_back("content-type", type);
    request.received = Clock::now();
    request.deadline = request.received + std::chrono::seconds(30);
    return request;
  }

  HttpResponse get(const std::string& path) { return ask(make_request("GET", path)); }
  HttpResponse post(const std::string& path, const std::string& body, const std::string& type = "") {
    return ask(make_request("POST", path, body, type));
  }

  static std::string header(const HttpResponse& response, const std::string& name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return "";
  }
  static std::string error(const HttpResponse& response) { return json::parse(response.body)["error"]; }

  // What the network itself says of kFlat.
  PredictAnswer expected() {
    PredictTask task;
    const std::vector<double> numbers = json::parse(kFlat);
    task.inputs.assign(numbers.begin(), numbers.end());
    task.examples = 1;
    std::promise<PredictAnswer> promise;
    task.done = [&](absl::StatusOr<PredictAnswer> answer) { promise.set_value(answer.value()); };
    store_.find({"mnist", std::nullopt, ""}).value()->predict(std::move(task));
    return promise.get_future().get();
  }

  const TmpDir directory_;
  ServingMetrics metrics_;
  ModelStore store_{StoreOptions{}};
  HttpHandler handler_;
};

TEST_F(RouterTest, PredictsRowsAsTensorFlowServing) {
  serve();
  const PredictAnswer want = expected();
  for (const char* path : {"/v1/models/mnist:predict", "/v1/models/mnist/versions/1:predict",
                           "/v1/models/mnist/labels/v2:predict", "/V1/MODELS/mnist:PREDICT"}) {
    const HttpResponse response = post(path, fmt::format("{{\"instances\": [{0}, {{\"inputs\": {0}}}]}}", kFlat));
    ASSERT_EQ(response.status, 200) << path << response.body;
    EXPECT_EQ(response.content_type, "application/json");
    const json answer = json::parse(response.body);
    ASSERT_EQ(answer["predictions"].size(), 2u) << response.body;
    for (const json& prediction : answer["predictions"]) {
      EXPECT_EQ(prediction["classes"], want.classes[0]);
      EXPECT_EQ(prediction["probabilities"].get<std::vector<float>>(), want.probabilities) << response.body;
    }
    EXPECT_THAT(header(response, "server-timing"),
                ::testing::MatchesRegex("parse;dur=[0-9.]+, queue;dur=[0-9.]+, run;dur=[0-9.]+"));
  }
}

TEST_F(RouterTest, LaysAnswersOutAsTensorFlowServing) {
  serve();
  const HttpResponse response = post("/v1/models/mnist:predict", fmt::format("{{\"instances\": [{}]}}", kFlat));
  EXPECT_THAT(response.body,
              ::testing::MatchesRegex("\\{\n    \"predictions\": \\[\n        \\{\n            \"classes\": [0-2],\n"
                                      "            \"probabilities\": \\[[0-9.e, -]+\\]\n        \\}\n    \\]\n\\}"));
}

TEST_F(RouterTest, PredictsColumns) {
  serve();
  const PredictAnswer want = expected();
  const HttpResponse response =
      post("/v1/models/mnist:predict",
           fmt::format("{{\"signature_name\": \"serving_default\", \"inputs\": [{0}, {0}]}}", kFlat));
  ASSERT_EQ(response.status, 200) << response.body;
  const json outputs = json::parse(response.body)["outputs"];
  EXPECT_THAT(outputs["classes"].get<std::vector<int64_t>>(), ElementsAre(want.classes[0], want.classes[0]));
  EXPECT_EQ(outputs["probabilities"][1].get<std::vector<float>>(), want.probabilities);
}

TEST_F(RouterTest, Classifies) {
  serve();
  const PredictAnswer want = expected();
  const HttpResponse response =
      post("/v1/models/mnist:classify", fmt::format("{{\"examples\": [{{\"inputs\": {}}}]}}", kFlat));
  ASSERT_EQ(response.status, 200) << response.body;
  const json results = json::parse(response.body)["results"];
  ASSERT_EQ(results.size(), 1u);
  ASSERT_EQ(results[0].size(), 3u);
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_EQ(results[0][c][0], std::to_string(c));
    EXPECT_EQ(results[0][c][1].get<float>(), want.probabilities[c]);
  }
}

TEST_F(RouterTest, TakesPixelsWithoutJson) {
  serve();
  const std::string pixels("\x00\x80\xff\x00\x40\x00\xff\xff\x00\x00\x20\xff", 12);
  const HttpResponse octets = post("/v1/models/mnist:predict", pixels + pixels, "application/octet-stream");
  const HttpResponse encoded =
      post("/v1/models/mnist:predict",
           fmt::format("{{\"instances\": [{{\"b64\": \"{0}\"}}, {{\"b64\": \"{0}\"}}]}}", absl::Base64Escape(pixels)),
           "application/json; charset=utf-8");
  ASSERT_EQ(octets.status, 200) << octets.body;
  EXPECT_EQ(octets.body, encoded.body);
  EXPECT_EQ(post("/v1/models/mnist:predict", "x", "Application/Octet-Stream").status, 400);
  EXPECT_EQ(post("/v1/models/mnist:predict", "x", "image/png").status, 400);
}

TEST_F(RouterTest, AnswersAsCloudMl) {
  serve();
  const PredictAnswer want = expected();
  const std::string body = fmt::format("{{\"instances\": [{{\"inputs\": {}}}]}}", kFlat);
  for (const char* path : {"/v1/projects/p/models/mnist:predict", "/v1/projects/p/models/mnist/versions/v1:predict"}) {
    const HttpResponse response = post(path, body);
    ASSERT_EQ(response.status, 200) << path << response.body;
    const json prediction = json::parse(response.body)["predictions"][0];
    EXPECT_EQ(prediction["classes"], want.classes[0]);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(prediction["probabilities"][c].get<double>(), static_cast<double>(want.probabilities[c]));
    }
  }
  const HttpResponse wrong = post("/v1/projects/p/models/mnist:predict", "{\"instances\": [[1]]}");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(error(wrong), HasSubstr("Prediction failed: Invalid inputs: Input mismatch: got shape [1]"));
  const HttpResponse unknown = post("/v1/projects/p/models/mnist/versions/v9:predict", body);
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(json::parse(unknown.body)["error"]["status"], "NOT_FOUND");
  EXPECT_EQ(json::parse(unknown.body)["error"]["code"], 404);
  EXPECT_THAT(error(post("/v1/projects/p/models/mnist:predict",
                         "{\"signature_name\": \"s\", \"instances\": [" + std::string(kFlat) + "]}")),
              HasSubstr("No signature found for signature key s."));
}

TEST_F(RouterTest, RefusesWhatItCannotPredict) {
  serve();
  const std::string good = fmt::format("{{\"instances\": [{}]}}", kFlat);
  const HttpResponse regress = post("/v1/models/mnist:regress", "{\"examples\": []}");
  EXPECT_EQ(regress.status, 400);
  EXPECT_THAT(error(regress), HasSubstr("Expected regression signature method_name to be tensorflow/serving/regress."));
  const HttpResponse unknown = post("/v1/models/nothing:predict", good);
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(error(unknown), "Servable not found for request: Latest(nothing). Models here: mnist");
  EXPECT_THAT(error(post("/v1/models/mnist/versions/7:predict", good)),
              HasSubstr("Servable not found for request: Specific(mnist, 7). Versions here: "));
  EXPECT_THAT(error(post("/v1/models/mnist:predict", "{\"signature_name\": \"x\", " + good.substr(1))),
              HasSubstr("Serving signature name: \"x\" not found in signature def. Expected \"serving_default\""));
  HttpRequest zipped = make_request("POST", "/v1/models/mnist:predict", "\x1f\x8b");
  zipped.headers.emplace_back("content-encoding", "gzip");
  EXPECT_THAT(error(ask(zipped)), HasSubstr("Content-Encoding is \"gzip\""));
  HttpRequest late = make_request("POST", "/v1/models/mnist:predict", good);
  late.deadline = Clock::now() - std::chrono::seconds(1);
  EXPECT_EQ(ask(late).status, 504);
  std::string many = kFlat;
  for (int i = 0; i < 50; ++i) many += fmt::format(", {}", kFlat);
  EXPECT_THAT(error(post("/v1/models/mnist:predict", "{\"instances\": [" + many + "]}")),
              HasSubstr("has 51 elements, at most 50"));
}

TEST_F(RouterTest, TellsStatusAndMetadata) {
  serve();
  const HttpResponse status = get("/v1/models/mnist");
  ASSERT_EQ(status.status, 200) << status.body;
  const json versions = json::parse(status.body)["model_version_status"];
  ASSERT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions[0], json::parse(R"({"version": "2", "state": "AVAILABLE",
                                         "status": {"error_code": "OK", "error_message": ""}})"));
  EXPECT_EQ(json::parse(get("/v1/models/mnist/versions/1").body)["model_version_status"].size(), 1u);
  EXPECT_EQ(get("/v1/models/mnist/versions/9").status, 404);
  EXPECT_THAT(error(get("/v1/models/nothing")), HasSubstr("Could not find any versions of model nothing"));

  const json metadata = json::parse(get("/v1/models/mnist/labels/v1/metadata").body);
  EXPECT_EQ(metadata["model_spec"], json::parse(R"({"name": "mnist", "signature_name": "", "version": "1"})"));
  const json signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
  EXPECT_EQ(signature["inputs"]["inputs"], json::parse(R"({"dtype": "DT_FLOAT", "tensor_shape": {"dim": [
      {"size": "-1", "name": ""}, {"size": "12", "name": ""}], "unknown_rank": false}, "name": "Placeholder:0"})"));
  EXPECT_EQ(signature["outputs"]["classes"]["dtype"], "DT_INT64");
  EXPECT_EQ(signature["outputs"]["probabilities"]["tensor_shape"]["dim"][1]["size"], "3");
  EXPECT_EQ(signature["method_name"], "tensorflow/serving/predict");

  const json models = json::parse(get("/v1/models").body)["models"];
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0]["name"], "mnist");
  EXPECT_EQ(models[0]["versions"][0],
            json::parse(R"({"version": "2", "label": "v2", "state": "AVAILABLE", "error": "", "default": true})"));
  EXPECT_EQ(models[0]["versions"][1]["default"], false);
}

TEST_F(RouterTest, TellsMethodsAndPathsThatItDoesNotTake) {
  serve();
  const HttpResponse method = get("/v1/models/mnist:predict");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(header(method, "allow"), "POST");
  EXPECT_THAT(error(method), HasSubstr("Malformed request: GET /v1/models/mnist:predict"));
  EXPECT_EQ(header(post("/v1/models/mnist", ""), "allow"), "GET, HEAD");
  EXPECT_EQ(post("/healthz", "").status, 405);
  EXPECT_EQ(ask(make_request("HEAD", "/v1/models/mnist")).status, 200);
  const HttpResponse malformed = post("/v1/models/mnist/versions/x:predict", "");
  EXPECT_EQ(malformed.status, 400);
  EXPECT_THAT(error(malformed), HasSubstr("Malformed request: POST /v1/models/mnist/versions/x:predict. Expected"));
  EXPECT_EQ(error(get("/v1/models/m/versions/99999999999999999999")),
            "Failed to convert version: 99999999999999999999 to numeric.");
  EXPECT_EQ(get("/elsewhere").status, 404);
  EXPECT_EQ(get("/../etc/passwd").status, 404);
  EXPECT_EQ(get("/").body, "page");
  EXPECT_EQ(post("/", "").status, 405);
}

TEST_F(RouterTest, IsReadyWhenAModelIs) {
  EXPECT_EQ(get("/healthz").body, "ok\n");
  const HttpResponse early = get("/readyz");
  EXPECT_EQ(early.status, 503);
  EXPECT_EQ(header(early, "retry-after"), "1");
  serve();
  EXPECT_EQ(get("/readyz").status, 200);
  store_.drain(std::chrono::milliseconds(0));
  EXPECT_EQ(get("/readyz").status, 503);
}

TEST_F(RouterTest, AVersionThatDidNotLoadIsUnavailableWithTheReason) {
  store_.set_wanted("test", {{"broken", {{1, "", directory_.file("missing")}}, std::nullopt}});
  HttpResponse response;
  wait_for([&] {
    response = post("/v1/models/broken:predict", "{}");
    return response.status == 503 && response.body.find("did not load") != std::string::npos;
  });
  EXPECT_EQ(header(response, "retry-after"), "1");
  EXPECT_THAT(get("/readyz").body, HasSubstr("broken version 1: "));
  EXPECT_THAT(get("/readyz").body, HasSubstr("missing"));
}

TEST_F(RouterTest, TellsStrangersOnlyThatItIsNotReady) {
  RestOptions options;
  options.bearer_token = "open sesame";
  handler_ = make_rest_handler(store_, metrics_, options);
  store_.set_wanted("test", {{"secret", {{1, "", directory_.file("missing")}}, std::nullopt}});
  wait_for([&] { return !store_.status({"secret", 1, ""})->at(0).status.ok(); });
  const auto ready_for = [&](const std::string& authorization) {
    HttpRequest request = make_request("GET", "/readyz");
    if (!authorization.empty()) request.headers.emplace_back("authorization", authorization);
    return ask(request);
  };
  for (const char* stranger : {"", "Bearer close sesame", "open sesame"}) {
    const HttpResponse response = ready_for(stranger);
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.body, "not ready\n");
    EXPECT_EQ(header(response, "retry-after"), "1");
  }
  EXPECT_THAT(ready_for("Bearer open sesame").body, HasSubstr("secret version 1: "));
}

TEST_F(RouterTest, CountsWhatItAnswers) {
  serve();
  const std::string body = fmt::format("{{\"instances\": [{0}, {0}]}}", kFlat);
  post("/v1/models/mnist:predict", body);
  post("/v1/projects/p/models/mnist:predict", body);
  post("/v1/models/mnist:predict", "{");
  post("/v1/models/made_up:predict", body);
  const std::string page = get("/monitoring/prometheus/metrics").body;
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_count{model_name=\"mnist\",status=\"OK\"} 2\n"));
  EXPECT_THAT(page,
              HasSubstr(":tensorflow:serving:request_count{model_name=\"mnist\",status=\"INVALID_ARGUMENT\"} 1\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_count{model_name=\"\",status=\"NOT_FOUND\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("_latency_count{model_name=\"mnist\",API=\"predict\",entrypoint=\"CLOUD_ML\"} 1\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_example_count_total{model=\"mnist\"} 4\n"));
  EXPECT_THAT(page, HasSubstr("lockstep_serving_model_version_state{model_name=\"mnist\",version=\"2\"} 30\n"));
  EXPECT_THAT(page, Not(HasSubstr("made_up")));
}

TEST(PageResponse, IsSentOnlyToWhoHasNotGotIt) {
  const ConsoleFile page{"<html>", "text/html; charset=utf-8", "\"abc\""};
  HttpRequest request;
  const HttpResponse first = page_response(request, page);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "<html>");
  EXPECT_EQ(first.content_type, "text/html; charset=utf-8");
  EXPECT_THAT(first.headers, ::testing::Contains(Pair("etag", "\"abc\"")));
  request.headers.emplace_back("if-none-match", "W/\"x\", \"abc\"");
  const HttpResponse again = page_response(request, page);
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  request.headers.back().second = "\"abd\"";
  EXPECT_EQ(page_response(request, page).status, 200);
}

TEST(HttpStatus, IsTensorFlowServingsTable) {
  const std::vector<std::pair<absl::StatusCode, int>> table = {{absl::StatusCode::kOk, 200},
                                                               {absl::StatusCode::kInvalidArgument, 400},
                                                               {absl::StatusCode::kFailedPrecondition, 400},
                                                               {absl::StatusCode::kOutOfRange, 400},
                                                               {absl::StatusCode::kUnauthenticated, 401},
                                                               {absl::StatusCode::kPermissionDenied, 403},
                                                               {absl::StatusCode::kNotFound, 404},
                                                               {absl::StatusCode::kAlreadyExists, 409},
                                                               {absl::StatusCode::kAborted, 409},
                                                               {absl::StatusCode::kResourceExhausted, 429},
                                                               {absl::StatusCode::kCancelled, 499},
                                                               {absl::StatusCode::kUnknown, 500},
                                                               {absl::StatusCode::kInternal, 500},
                                                               {absl::StatusCode::kDataLoss, 500},
                                                               {absl::StatusCode::kUnimplemented, 501},
                                                               {absl::StatusCode::kUnavailable, 503},
                                                               {absl::StatusCode::kDeadlineExceeded, 504}};
  for (const auto& [code, status] : table) EXPECT_EQ(http_status(code), status) << absl::StatusCodeToString(code);
  EXPECT_THAT(serving_error(absl::UnavailableError("full")).headers, ElementsAre(Pair("retry-after", "1")));
  EXPECT_THAT(serving_error(absl::NotFoundError("none")).headers, ElementsAre());
}

}  // namespace
}  // namespace lockstep
