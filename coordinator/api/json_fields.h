// Reading a JSON object of a client: each field has a type and bounds, and none goes unnoticed.
#ifndef BATON_COORDINATOR_API_JSON_FIELDS_H_
#define BATON_COORDINATOR_API_JSON_FIELDS_H_

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace baton {

// The object that a request's body is. InvalidArgument says where it is not JSON, or that it is
// nested too deep.
absl::StatusOr<nlohmann::json> ParseObject(const std::string& body);

// "a string", "7": what a client sent, for errors. Short, whatever it is.
std::string Describe(const nlohmann::json& value);
// A name or text of a client's, the same way.
std::string Shortened(absl::string_view text);

// Not thread-safe. Getters leave their value alone where the field is absent or null; their errors
// name the field, what was found and what is expected.
class JsonFields {
 public:
  // `object` outlives this.
  explicit JsonFields(const nlohmann::json& object) : object_(object) {}

  // A number from `least` to `most`.
  absl::Status Get(const std::string& name, double least, double most, float* value);
  // A whole number from `least` to `most`.
  absl::Status Get(const std::string& name, int64_t least, int64_t most, int64_t* value);
  absl::Status Get(const std::string& name, int64_t least, int64_t most, int32_t* value);
  absl::Status Get(const std::string& name, bool* value);

  // The field for who reads it himself; null where it is absent or null.
  const nlohmann::json* Find(const std::string& name);

  // Fields that make no difference to an answer: they may be there.
  void Ignore(std::initializer_list<const char*> names);
  // Fields that would make a difference and are not served: they may be there only with a value
  // that asks for nothing, which is null, false, an empty list, object or text, or `neutral`.
  absl::Status Refuse(const std::string& name, const nlohmann::json& neutral = nullptr);

  // InvalidArgument naming the first field that nobody asked for and that is not null.
  absl::Status CheckAllKnown() const;

 private:
  const nlohmann::json& object_;
  std::set<std::string> known_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_API_JSON_FIELDS_H_
