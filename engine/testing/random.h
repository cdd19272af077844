// Random numbers that are the same on every machine, unlike those of <random>'s distributions.
#ifndef BATON_ENGINE_TESTING_RANDOM_H_
#define BATON_ENGINE_TESTING_RANDOM_H_

#include <cstdint>

namespace baton {

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // In [0, bound), for small bounds: the bias is bound / 2^64.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  // In [low, high), in steps of (high - low) / 2^24.
  float Uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(Next() >> 40) * 0x1p-24f);
  }

 private:
  uint64_t state_;
};

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_RANDOM_H_
