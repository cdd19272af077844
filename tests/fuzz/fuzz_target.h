// What every fuzz target defines. libFuzzer calls the first (bazel build --config=fuzz); an
// ordinary test of each target runs its seeds, damaged seeds, and what once was a finding.
#ifndef BATON_TESTS_FUZZ_FUZZ_TARGET_H_
#define BATON_TESTS_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// One input, of any bytes. Aborts, or trips a sanitizer, where something is wrong with us.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace baton {

// Inputs that are right, or nearly so, for a run to start from. Same on every call.
std::vector<std::string> FuzzSeeds();

}  // namespace baton

#endif  // BATON_TESTS_FUZZ_FUZZ_TARGET_H_
