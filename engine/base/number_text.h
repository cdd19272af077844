// Numbers as people read them.
#ifndef BATON_ENGINE_BASE_NUMBER_TEXT_H_
#define BATON_ENGINE_BASE_NUMBER_TEXT_H_

#include <cstdint>
#include <string>

namespace baton {

// "65,536,000".
std::string WithThousands(uint64_t number);

}  // namespace baton

#endif  // BATON_ENGINE_BASE_NUMBER_TEXT_H_
