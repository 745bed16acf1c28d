// Error and Result<T>: the one error discipline of penstock.
//
// Every operation that can fail for a reason outside the program (a file, a user, a device) returns
// Result<T> or Status. Nothing throws across a public function; exceptions of libraries are caught
// at the call and turned into an Error. Programmer errors are asserted.
//
// An Error that may reach a user names the file, the place in it, what was expected, what was found
// and what to do:
//
//   return Error::Corrupt("the frame header is not a Merlin header")
//       .In(path).AtOffset(131456).AtFrame(1)
//       .Expected("'MQ1,'").Found("00 00 00 00")
//       .Advice("check whether the file was copied completely");
//
// Values of these types are not synchronised; a const Error may be read from several threads.

#ifndef PENSTOCK_BASE_ERROR_H_
#define PENSTOCK_BASE_ERROR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

enum class ErrorKind : uint8_t {
  kInvalidArgument,  // the caller or the command line asked for something impossible
  kNotFound,
  kAlreadyExists,
  kCorrupt,        // bytes contradict their checksum or their format
  kContradiction,  // two statements in the input exclude each other; the user has to decide
  kUnsupported,    // legal input that penstock does not handle
  kIo,             // a system call failed; system_errno() tells which way
  kNoSpace,
  kPermission,
  kBusy,  // somebody else holds the resource
  kTimeout,
  kCancelled,
  kInternal,
};

// "corrupt", "not found", ...: for JSON output and logs.
std::string_view ErrorKindName(ErrorKind kind);

class [[nodiscard]] Error {
 public:
  Error(ErrorKind kind, std::string what) : kind_(kind), what_(std::move(what)) {}

  static Error InvalidArgument(std::string what) {
    return {ErrorKind::kInvalidArgument, std::move(what)};
  }
  static Error NotFound(std::string what) { return {ErrorKind::kNotFound, std::move(what)}; }
  static Error AlreadyExists(std::string what) {
    return {ErrorKind::kAlreadyExists, std::move(what)};
  }
  static Error Corrupt(std::string what) { return {ErrorKind::kCorrupt, std::move(what)}; }
  static Error Contradiction(std::string what) {
    return {ErrorKind::kContradiction, std::move(what)};
  }
  static Error Unsupported(std::string what) { return {ErrorKind::kUnsupported, std::move(what)}; }
  static Error Busy(std::string what) { return {ErrorKind::kBusy, std::move(what)}; }
  static Error Timeout(std::string what) { return {ErrorKind::kTimeout, std::move(what)}; }
  static Error Cancelled(std::string what) { return {ErrorKind::kCancelled, std::move(what)}; }
  static Error Internal(std::string what) { return {ErrorKind::kInternal, std::move(what)}; }

  // A failed system call. `what` says what was attempted ("cannot open"); the kind follows from
  // the errno (ENOENT kNotFound, ENOSPC and EDQUOT kNoSpace, EACCES and EPERM kPermission, ...).
  static Error FromErrno(int error_number, std::string what);

  Error&& In(std::string file) && {
    file_ = std::move(file);
    return std::move(*this);
  }
  Error&& AtOffset(uint64_t byte_offset) &&;
  Error&& AtFrame(int64_t frame) &&;
  // A free description of the place: "line 12", "block 3, extent 7, frames 96-127".
  Error&& At(std::string place) &&;
  Error&& Expected(std::string expected) && {
    expected_ = std::move(expected);
    return std::move(*this);
  }
  Error&& Found(std::string found) && {
    found_ = std::move(found);
    return std::move(*this);
  }
  Error&& Advice(std::string advice) && {
    advice_ = std::move(advice);
    return std::move(*this);
  }
  // What the caller was doing; the outermost context comes first in ToString().
  Error&& Context(std::string doing) && {
    context_.push_back(std::move(doing));
    return std::move(*this);
  }

  ErrorKind kind() const { return kind_; }
  const std::string& what() const { return what_; }
  const std::string& file() const { return file_; }
  const std::string& place() const { return place_; }
  const std::string& expected() const { return expected_; }
  const std::string& found() const { return found_; }
  const std::string& advice() const { return advice_; }
  int system_errno() const { return system_errno_; }  // 0 where no system call failed

  // One line for people: "ingesting scan: FILE: offset 131456, frame 1: WHAT; expected E, found F.
  // ADVICE".
  std::string ToString() const;

 private:
  ErrorKind kind_;
  int system_errno_ = 0;
  std::string what_;
  std::string file_;
  std::string place_;
  std::string expected_;
  std::string found_;
  std::string advice_;
  std::vector<std::string> context_;
};

}  // namespace penstock

#endif  // PENSTOCK_BASE_ERROR_H_
