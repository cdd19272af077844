// The text of a Jinja template, brought into one spelling so that parts of it can be recognised.
#ifndef BATON_ENGINE_CHAT_JINJA_TEXT_H_
#define BATON_ENGINE_CHAT_JINJA_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace baton {

// Without comments, marks of white space control, white space around blocks, and blanks in them
// other than one between two words. Fields are named with a dot: message.content. Strings are as
// they read, in single quotes, and neighbours that "+" joins are one: '<|im_end|>
// '. Never fails: what is no Jinja comes out as something else that is none.
std::string NormalizeJinja(absl::string_view text);

}  // namespace baton

#endif  // BATON_ENGINE_CHAT_JINJA_TEXT_H_
