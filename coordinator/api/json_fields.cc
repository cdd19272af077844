#include "coordinator/api/json_fields.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "coordinator/api/api_error.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

using Json = nlohmann::json;

// Of what a client sent, in an error message.
constexpr size_t kMostQuotedBytes = 60;
// Of lists and objects in each other. Copies of JSON are made by recursion, on a stack of 8 MB.
constexpr int kMostDepth = 64;

absl::Status Mismatch(const std::string& name, const Json& found, absl::string_view expected) {
  return FieldError(name,
                    absl::StrCat("'", name, "' is ", Describe(found), "; expected ", expected));
}

// Of brackets and braces outside of strings, where the text is JSON.
int Depth(const std::string& text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      deepest = std::max(deepest, ++depth);
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return deepest;
}

bool AsksForNothing(const Json& value) {
  return value.is_null() || value == false || value == "" ||
         ((value.is_array() || value.is_object()) && value.empty());
}

}  // namespace

absl::StatusOr<Json> ParseObject(const std::string& body) {
  if (Depth(body) > kMostDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body's lists and objects are nested deeper than ", kMostDepth, ", the limit"));
  }
  Json value;
  try {
    value = Json::parse(body);
  } catch (const Json::exception& error) {  // also where a number has no place in a double
    // Its own prefix is a number of the library's.
    const std::string text = error.what();
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not JSON: ", text.substr(text.find("] ") + 2)));
  }
  if (value.is_object()) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("the body is ", Describe(value), "; expected a JSON object"));
}

std::string Describe(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::array:
      return absl::StrCat("a list of ", value.size());
    case Json::value_t::object:
      return absl::StrCat("an object of ", value.size());
    default:
      break;
  }
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= kMostQuotedBytes ? text : absl::StrCat("a ", value.type_name());
}

std::string Shortened(absl::string_view text) {
  if (text.size() <= kMostQuotedBytes) return std::string(text);
  return absl::StrCat(text.substr(0, kMostQuotedBytes), "...");
}

absl::Status JsonFields::Get(const std::string& name, double least, double most, float* value) {
  const Json* field = Find(name);
  if (field == nullptr) return absl::OkStatus();
  const double number = field->is_number() ? field->get<double>() : std::nan("");
  if (!(number >= least && number <= most)) {
    return Mismatch(name, *field, absl::StrCat("a number from ", least, " to ", most));
  }
  *value = static_cast<float>(number);
  return absl::OkStatus();
}

absl::Status JsonFields::Get(const std::string& name, int64_t least, int64_t most, int64_t* value) {
  const Json* field = Find(name);
  if (field == nullptr) return absl::OkStatus();
  // Beyond 63 bits there are only unsigned numbers, which would wrap.
  const bool is_wide = field->is_number_unsigned() && field->get<uint64_t>() > uint64_t{INT64_MAX};
  const bool is_whole = field->is_number_integer() && !is_wide;
  const int64_t number = is_whole ? field->get<int64_t>() : 0;
  if (!is_whole || number < least || number > most) {
    return Mismatch(name, *field, absl::StrCat("a whole number from ", least, " to ", most));
  }
  *value = number;
  return absl::OkStatus();
}

absl::Status JsonFields::Get(const std::string& name, int64_t least, int64_t most, int32_t* value) {
  int64_t number = *value;
  RETURN_IF_ERROR(Get(name, least, most, &number));
  *value = static_cast<int32_t>(number);
  return absl::OkStatus();
}

absl::Status JsonFields::Get(const std::string& name, bool* value) {
  const Json* field = Find(name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_boolean()) return Mismatch(name, *field, "true or false");
  *value = field->get<bool>();
  return absl::OkStatus();
}

const Json* JsonFields::Find(const std::string& name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::Ignore(std::initializer_list<const char*> names) {
  known_.insert(names.begin(), names.end());
}

absl::Status JsonFields::Refuse(const std::string& name, const Json& neutral) {
  const Json* field = Find(name);
  if (field == nullptr || AsksForNothing(*field) || *field == neutral) return absl::OkStatus();
  return FieldError(name, absl::StrCat("'", name, "' is not supported"));
}

absl::Status JsonFields::CheckAllKnown() const {
  for (const auto& [name, value] : object_.items()) {
    if (known_.count(name) == 0 && !value.is_null()) {
      const std::string shown = Shortened(name);
      return FieldError(shown, absl::StrCat("'", shown, "' is not a field that is known here"));
    }
  }
  return absl::OkStatus();
}

}  // namespace baton
