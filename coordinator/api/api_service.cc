#include "coordinator/api/api_service.h"

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/generation.h"
#include "coordinator/api/generation_call.h"
#include "coordinator/api/json_fields.h"
#include "engine/base/status_macros.h"
#include "engine/tokenizer/utf8.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kModelsPath[] = "/v1/models";

// What is longer takes longer than a moment to read: a millisecond or two of JSON and tokens.
constexpr size_t kLongRequestBytes = 64 << 10;
// Of long requests that wait to be read.
constexpr size_t kMostLongRequestBytes = 256 << 20;

HttpResponse JsonResponse(const Json& json) {
  HttpResponse response;
  response.body = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return response;
}

HttpResponse TextResponse(std::string text) {
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

// Clients write the slash in a model's name as %2F. What is no such code stands for itself.
std::string PercentDecoded(const std::string& text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '%' && i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) &&
        absl::ascii_isxdigit(text[i + 2]) && absl::SimpleHexAtoi(text.substr(i + 1, 2), &code)) {
      decoded += static_cast<char>(code);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

// llama.cpp's form: text, or where it is not UTF-8 its bytes.
Json PieceJson(const std::string& piece) {
  if (IsUtf8(piece)) return piece;
  Json bytes = Json::array();
  for (const char byte : piece) bytes.push_back(static_cast<uint8_t>(byte));
  return bytes;
}

Json ModelJson(const ServedModel& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created_s},
          {"owned_by", "baton"},
          {"max_model_len", model.context_length},
          {"meta",
           {{"n_vocab", model.vocabulary_size},
            {"n_ctx_train", model.trained_context_length},
            {"n_embd", model.width},
            {"n_params", model.parameter_count},
            {"size", model.weight_bytes}}}};
}

}  // namespace

// A path and what it takes. One of the two functions is set.
struct ApiService::Route {
  const char* method;
  const char* path;
  absl::StatusOr<HttpResponse> (ApiService::*answer)(const HttpRequest&) const;
  // Answers later, where it gives no error.
  absl::Status (ApiService::*generate)(const HttpRequest&, const std::shared_ptr<HttpReply>&);
};

// Paths without /v1 are llama.cpp's.
const ApiService::Route ApiService::kRoutes[] = {
    {"GET", "/", &ApiService::Index, nullptr},
    {"GET", "/health", &ApiService::Health, nullptr},
    {"GET", "/v1/health", &ApiService::Health, nullptr},
    {"GET", "/metrics", &ApiService::Metrics, nullptr},
    {"GET", kModelsPath, &ApiService::Models, nullptr},
    {"GET", "/models", &ApiService::Models, nullptr},
    {"POST", "/tokenize", &ApiService::Tokenize, nullptr},
    {"POST", "/detokenize", &ApiService::Detokenize, nullptr},
    {"POST", "/v1/chat/completions", nullptr, &ApiService::Chat},
    {"POST", "/chat/completions", nullptr, &ApiService::Chat},
    {"POST", "/v1/completions", nullptr, &ApiService::Complete},
};

ApiService::ApiService(std::function<void(const absl::Status&)> on_failure)
    : on_failure_(std::move(on_failure)), long_requests_(kMostLongRequestBytes) {}

void ApiService::SetProgress(double share) {
  const std::lock_guard<std::mutex> lock(mutex_);
  progress_ = share;
}

void ApiService::SetReady(const ServedModel& model, Scheduler& scheduler) {
  const std::lock_guard<std::mutex> lock(mutex_);
  backend_ = {&model, &scheduler};
}

void ApiService::SetEnding(const absl::Status& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ending_ = reason;
}

absl::StatusOr<ApiService::Backend> ApiService::CurrentBackend() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(ending_);
  if (backend_.model != nullptr) return backend_;
  return absl::UnavailableError(
      absl::StrFormat("the model is being loaded, %.0f%% of it is there", 100 * progress_));
}

const ApiService::Route* ApiService::FindRoute(const std::string& path) const {
  static constexpr Route kModelRoute = {"GET", "/v1/models/{model}", &ApiService::Model, nullptr};
  if (absl::StartsWith(path, absl::StrCat(kModelsPath, "/"))) return &kModelRoute;
  for (const Route& route : kRoutes) {
    if (path == route.path) return &route;
  }
  return nullptr;
}

void ApiService::Handle(HttpRequest request, std::shared_ptr<HttpReply> reply) {
  const Route* route = FindRoute(request.path);
  if (route == nullptr) {
    // What nobody serves is counted as one: names that clients make up are without number.
    return Refuse("other", reply,
                  ErrorResponse(absl::NotFoundError(absl::StrCat(
                      "there is nothing at ", request.path, "; GET / lists what there is"))));
  }
  if (request.method != route->method) {
    HttpResponse response = ErrorResponse(absl::UnimplementedError(
        absl::StrCat(request.method, " ", route->path, ": expected ", route->method)));
    response.headers.emplace_back("Allow", route->method);
    return Refuse(route->path, reply, std::move(response));
  }
  const size_t bytes = request.body.size();
  if (bytes <= kLongRequestBytes) return Serve(*route, request, reply);
  auto serve = [this, route, request = std::move(request), reply] {
    // Its answer would be dropped: whoever waits behind it comes sooner.
    if (reply->gone()) return;
    try {
      Serve(*route, request, reply);
    } catch (const std::exception& error) {  // of a library, as where memory is short
      reply->Send(ErrorResponse(absl::InternalError(error.what())));
    }
  };
  if (long_requests_.Run(bytes, std::move(serve))) return;
  Refuse(route->path, reply,
         ErrorResponse(absl::ResourceExhaustedError(absl::StrCat(
             "long requests of ", kMostLongRequestBytes, " bytes wait already, the limit"))));
}

void ApiService::Refuse(const char* path, const std::shared_ptr<HttpReply>& reply,
                        HttpResponse response) {
  metrics_.OnHttpRequest(path, response.status);
  reply->Send(std::move(response));
}

void ApiService::Serve(const Route& route, const HttpRequest& request,
                       const std::shared_ptr<HttpReply>& reply) {
  HttpResponse response;
  if (route.generate != nullptr) {
    const absl::Status status = (this->*route.generate)(request, reply);
    if (!status.ok()) response = ErrorResponse(status);
    metrics_.OnHttpRequest(route.path, response.status);
    if (status.ok()) return;
  } else {
    absl::StatusOr<HttpResponse> answer = (this->*route.answer)(request);
    response = answer.ok() ? *std::move(answer) : ErrorResponse(answer.status());
    metrics_.OnHttpRequest(route.path, response.status);
  }
  reply->Send(std::move(response));
}

absl::StatusOr<HttpResponse> ApiService::Index(const HttpRequest&) const {
  const absl::StatusOr<Backend> backend = CurrentBackend();
  std::string text = backend.ok()
                         ? absl::StrCat("Baton serves ", backend->model->id, ".\n\n")
                         : absl::StrCat("Baton is not ready: ", backend.status().message(), "\n\n");
  for (const Route& route : kRoutes) {
    absl::StrAppend(&text, absl::StrFormat("%-5s%s\n", route.method, route.path));
  }
  return TextResponse(std::move(text));
}

absl::StatusOr<HttpResponse> ApiService::Health(const HttpRequest&) const {
  const absl::StatusOr<Backend> backend = CurrentBackend();
  if (backend.ok()) return JsonResponse({{"status", "ok"}});
  Json json = ErrorJson(backend.status());
  const std::lock_guard<std::mutex> lock(mutex_);
  json["status"] = ending_.ok() ? "loading" : "ending";
  if (ending_.ok()) json["progress"] = progress_;
  HttpResponse response = ErrorResponse(backend.status());
  response.body = json.dump();
  return response;
}

absl::StatusOr<HttpResponse> ApiService::Metrics(const HttpRequest&) const {
  const absl::StatusOr<Backend> backend = CurrentBackend();
  HttpResponse response;
  if (backend.ok()) {
    const SchedulerStats stats = backend->scheduler->Stats();
    response = TextResponse(metrics_.Text(&stats));
  } else {
    response = TextResponse(metrics_.Text(nullptr));
  }
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

absl::StatusOr<HttpResponse> ApiService::Models(const HttpRequest&) const {
  ASSIGN_OR_RETURN(const Backend backend, CurrentBackend());
  return JsonResponse({{"object", "list"}, {"data", Json::array({ModelJson(*backend.model)})}});
}

absl::StatusOr<HttpResponse> ApiService::Model(const HttpRequest& request) const {
  ASSIGN_OR_RETURN(const Backend backend, CurrentBackend());
  const std::string id = PercentDecoded(request.path.substr(sizeof(kModelsPath)));
  if (id == backend.model->id) return JsonResponse(ModelJson(*backend.model));
  return absl::NotFoundError(
      absl::StrCat("there is no model '", id, "'; ", backend.model->id, " is served"));
}

absl::StatusOr<HttpResponse> ApiService::Tokenize(const HttpRequest& request) const {
  ASSIGN_OR_RETURN(const Backend backend, CurrentBackend());
  ASSIGN_OR_RETURN(const nlohmann::json body, ParseObject(request.body));
  JsonFields fields(body);
  // llama.cpp's fields and defaults.
  TokenizeOptions options = {.add_special = false, .parse_special = true};
  bool with_pieces = false;
  RETURN_IF_ERROR(fields.Get("add_special", &options.add_special));
  RETURN_IF_ERROR(fields.Get("parse_special", &options.parse_special));
  RETURN_IF_ERROR(fields.Get("with_pieces", &with_pieces));
  const nlohmann::json* content = fields.Find("content");
  if (content == nullptr || !content->is_string()) {
    return FieldError("content", absl::StrCat("'content' is ",
                                              content == nullptr ? "not given" : Describe(*content),
                                              "; expected a string"));
  }
  fields.Ignore({"model"});
  RETURN_IF_ERROR(fields.CheckAllKnown());
  const Tokenizer& tokenizer = *backend.model->tokenizer;
  Json tokens = Json::array();
  for (const int32_t id : tokenizer.Encode(content->get_ref<const std::string&>(), options)) {
    if (with_pieces) {
      tokens.push_back(
          {{"id", id}, {"piece", PieceJson(tokenizer.Piece(id, /*render_special=*/true))}});
    } else {
      tokens.push_back(id);
    }
  }
  return JsonResponse({{"tokens", std::move(tokens)}});
}

absl::StatusOr<HttpResponse> ApiService::Detokenize(const HttpRequest& request) const {
  ASSIGN_OR_RETURN(const Backend backend, CurrentBackend());
  ASSIGN_OR_RETURN(const nlohmann::json body, ParseObject(request.body));
  JsonFields fields(body);
  const nlohmann::json* tokens = fields.Find("tokens");
  if (tokens == nullptr || !tokens->is_array()) {
    return FieldError(
        "tokens", absl::StrCat("'tokens' is ", tokens == nullptr ? "not given" : Describe(*tokens),
                               "; expected a list of token ids"));
  }
  fields.Ignore({"model"});
  RETURN_IF_ERROR(fields.CheckAllKnown());
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ReadIds("tokens", *tokens, *backend.model));
  return JsonResponse(
      {{"content", backend.model->tokenizer->Decode(ids, /*render_special=*/true)}});
}

absl::Status ApiService::Chat(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
  ASSIGN_OR_RETURN(const Backend backend, CurrentBackend());
  ASSIGN_OR_RETURN(const nlohmann::json body, ParseObject(request.body));
  ASSIGN_OR_RETURN(GenerationCall call, ReadChatCall(body, *backend.model));
  return StartGeneration(std::move(call), *backend.model, *backend.scheduler, metrics_, reply,
                         on_failure_);
}

absl::Status ApiService::Complete(const HttpRequest& request,
                                  const std::shared_ptr<HttpReply>& reply) {
  ASSIGN_OR_RETURN(const Backend backend, CurrentBackend());
  ASSIGN_OR_RETURN(const nlohmann::json body, ParseObject(request.body));
  ASSIGN_OR_RETURN(GenerationCall call, ReadCompletionCall(body, *backend.model));
  return StartGeneration(std::move(call), *backend.model, *backend.scheduler, metrics_, reply,
                         on_failure_);
}

}  // namespace baton
