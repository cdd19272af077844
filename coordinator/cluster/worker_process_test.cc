#include "coordinator/cluster/worker_process.h"

#include <signal.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kTimeout{5000};

std::unique_ptr<WorkerProcess> Shell(const std::string& script) {
  auto process = WorkerProcess::Start("/bin/sh", {"-c", script});
  EXPECT_TRUE(process.ok()) << process.status();
  return *std::move(process);
}

std::string AwaitEnd(WorkerProcess& process) {
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    if (const auto end = process.HowItEnded()) return *end;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return "still runs";
}

bool IsAlive(pid_t pid) { return kill(pid, 0) == 0; }

constexpr char kWellBehaved[] = "echo R >&3; read line <&3; exit 5";

TEST(WorkerProcessTest, SaysWhenItListensAndLeavesWhenLetGo) {
  const auto process = Shell(kWellBehaved);
  ASSERT_TRUE(process->AwaitListening(kTimeout).ok());
  EXPECT_EQ(process->HowItEnded(), std::nullopt);
  process->LetGo();
  EXPECT_EQ(AwaitEnd(*process), "ended with exit code 5");
}

TEST(WorkerProcessTest, HoldsNobodyElsesLifeline) {
  const auto first = Shell(kWellBehaved);
  const auto second = Shell(kWellBehaved);
  ASSERT_TRUE(first->AwaitListening(kTimeout).ok());
  ASSERT_TRUE(second->AwaitListening(kTimeout).ok());
  first->LetGo();
  EXPECT_EQ(AwaitEnd(*first), "ended with exit code 5");
  EXPECT_EQ(second->HowItEnded(), std::nullopt);
}

TEST(WorkerProcessTest, TellsASignalFromAnExit) {
  const auto process = Shell(kWellBehaved);
  ASSERT_TRUE(process->AwaitListening(kTimeout).ok());
  kill(process->pid(), SIGKILL);
  EXPECT_EQ(AwaitEnd(*process), "was killed by signal 9");
}

TEST(WorkerProcessTest, RepeatsTheLastWordsOfOneThatNeverListened) {
  const auto process = Shell("echo 'error: no such model' >&2; exit 1");
  const absl::Status status = process->AwaitListening(kTimeout);
  EXPECT_EQ(std::string(status.message()), "ended with exit code 1: error: no such model");
}

TEST(WorkerProcessTest, DoesNotWaitForEver) {
  const auto process = Shell("exec sleep 60");
  EXPECT_EQ(process->AwaitListening(milliseconds(50)).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(WorkerProcessTest, EndsOneThatDoesNotListenToAnybody) {
  auto process = Shell("trap '' TERM INT; echo R >&3; exec sleep 60");
  ASSERT_TRUE(process->AwaitListening(kTimeout).ok());
  const pid_t pid = process->pid();
  ASSERT_TRUE(IsAlive(pid));
  process.reset();
  EXPECT_FALSE(IsAlive(pid));
}

TEST(WorkerProcessTest, NamesABinaryThatIsNotThere) {
  const auto process = WorkerProcess::Start("/no/such/worker", {});
  EXPECT_THAT(std::string(process.status().message()), HasSubstr("cannot start /no/such/worker"));
}

}  // namespace
}  // namespace baton
