// Quantizes a model and prints the error that this makes.
//
//   bazel run //tools:quantize -- IN.gguf OUT.gguf Q4_K_M
#include "engine/quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "engine/gguf/gguf_file.h"
#include "engine/quant/file_type.h"
#include "tools/command_line.h"
#include "tools/quantize_file.h"

namespace {

// The file types all of whose tensor types can be written.
std::vector<std::string> Choices() {
  std::vector<std::string> names;
  for (const baton::FileType& file_type : baton::AllFileTypes()) {
    if (baton::CanQuantize(file_type.matrix)) names.push_back(file_type.name);
  }
  return names;
}

double ToMiB(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// A line per tensor, and one for all of them.
class ErrorTable {
 public:
  void PrintHead() const {
    std::printf("%-32s %-20s %-13s %12s %10s %10s\n", "tensor", "shape", "type", "size",
                "rms error", "max error");
  }

  void Print(const baton::QuantizedTensor& tensor) {
    const char* from = baton::TraitsOf(tensor.from).name;
    const char* to = baton::TraitsOf(tensor.to).name;
    const std::string types = tensor.from == tensor.to ? from : std::string(from) + " -> " + to;
    std::printf("%-32s %-20s %-13s %8.2f MiB", tensor.name.c_str(), tensor.shape.c_str(),
                types.c_str(), ToMiB(tensor.bytes));
    if (tensor.from == tensor.to) {
      std::printf(" %10s %10s\n", "copied", "");
    } else {
      PrintError(tensor);
    }
    std::fflush(stdout);
    total_.elements += tensor.elements;
    total_.bytes += tensor.bytes;
    total_.squared_weights += tensor.squared_weights;
    total_.squared_error += tensor.squared_error;
    total_.largest_error = std::max(total_.largest_error, tensor.largest_error);
    ++count_;
  }

  void PrintTotal() const {
    char bits[32];
    std::snprintf(bits, sizeof(bits), "%.2f bits each",
                  8.0 * static_cast<double>(total_.bytes) / static_cast<double>(total_.elements));
    std::printf("%-32s %-20s %-13s %8.2f MiB", (std::to_string(count_) + " tensors").c_str(), bits,
                "", ToMiB(total_.bytes));
    PrintError(total_);
  }

 private:
  // The rms error is relative to the weights' own root mean square.
  static void PrintError(const baton::QuantizedTensor& tensor) {
    const double relative =
        tensor.squared_weights > 0 ? std::sqrt(tensor.squared_error / tensor.squared_weights) : 0;
    std::printf(" %8.3f %% %10.3g\n", 100 * relative, tensor.largest_error);
  }

  baton::QuantizedTensor total_ = {};
  int count_ = 0;
};

absl::Status Run(const std::string& in, const std::string& out, const baton::FileType& file_type,
                 int thread_count) {
  const absl::StatusOr<baton::GgufFile> file = baton::GgufFile::Read(in);
  if (!file.ok()) return file.status();
  ErrorTable table;
  table.PrintHead();
  const absl::Status status =
      baton::QuantizeFile(*file, out, file_type, thread_count,
                          [&table](const baton::QuantizedTensor& tensor) { table.Print(tensor); });
  if (status.ok()) table.PrintTotal();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Quantizes a model and prints the error that this makes.");
  std::string in, out, type;
  bool pure = false;
  int thread_count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  app.add_option("IN", in, "a GGUF file of any type that Baton reads")->required();
  app.add_option("OUT", out, "the file to write")->required();
  app.add_option("TYPE", type,
                 "as llama-quantize has it; rows that the blocks of a K type do not divide take "
                 "the next type of blocks of 32")
      ->required()
      ->check(CLI::IsMember(Choices(), CLI::ignore_case));
  app.add_flag("--pure", pure, "this type for all matrices, the output's too");
  app.add_option("-t,--threads", thread_count)->check(CLI::PositiveNumber)->capture_default_str();
  if (const std::optional<int> code = baton::ParseCommandLine(app, argc, argv)) return *code;
  baton::FileType file_type = *baton::FindFileType(type);
  if (pure) file_type = baton::PureFileType(file_type.matrix);
  return baton::ExitCode(Run(baton::FromWorkingDirectory(in), baton::FromWorkingDirectory(out),
                             file_type, thread_count));
}
