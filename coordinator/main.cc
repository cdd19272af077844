// The coordinator: the one binary for people.
#include <string>
#include <vector>

#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/run_main.h"

int main(int argc, char** argv) {
  baton::CatchInterrupts();
  return baton::RunMain(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
