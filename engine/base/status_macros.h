// Early return on absl::Status, for functions that return Status or StatusOr.
//
//   RETURN_IF_ERROR(file.ReadAt(offset, bytes));
//   ASSIGN_OR_RETURN(GgufFile model, GgufFile::Read(path));
#ifndef BATON_ENGINE_BASE_STATUS_MACROS_H_
#define BATON_ENGINE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define BATON_CONCAT_INNER(a, b) a##b
#define BATON_CONCAT(a, b) BATON_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                    \
  do {                                           \
    absl::Status baton_status = (expr);          \
    if (!baton_status.ok()) return baton_status; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  BATON_ASSIGN_OR_RETURN(BATON_CONCAT(baton_status_or_, __LINE__), lhs, expr)

#define BATON_ASSIGN_OR_RETURN(status_or, lhs, expr)         \
  auto status_or = (expr);                                   \
  if (!status_or.ok()) return std::move(status_or).status(); \
  lhs = std::move(status_or).value()

#endif  // BATON_ENGINE_BASE_STATUS_MACROS_H_
