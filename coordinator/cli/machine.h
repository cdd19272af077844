// What this machine has, as the kernel says.
#ifndef BATON_COORDINATOR_CLI_MACHINE_H_
#define BATON_COORDINATOR_CLI_MACHINE_H_

#include <cstdint>

namespace baton {

// Cores that this process may run on; two hardware threads of one core count once. At least 1.
int PhysicalCoreCount();

// Memory that can be had without swapping, in bytes; 0 where the kernel does not say.
uint64_t AvailableMemoryBytes();

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_MACHINE_H_
