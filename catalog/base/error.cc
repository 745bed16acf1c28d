#include "penstock/base/error.h"

#include <cerrno>
#include <cstring>

namespace penstock {

namespace {

ErrorKind KindOfErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ENODATA:
      return ErrorKind::kNotFound;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorKind::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
      return ErrorKind::kNoSpace;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorKind::kPermission;
    case EBUSY:
    case EWOULDBLOCK:
    case ETXTBSY:
      return ErrorKind::kBusy;
    case ETIMEDOUT:
      return ErrorKind::kTimeout;
    case EINVAL:
    case ENAMETOOLONG:
      return ErrorKind::kInvalidArgument;
    case EOPNOTSUPP:
    case ENOSYS:
      return ErrorKind::kUnsupported;
    default:
      return ErrorKind::kIo;
  }
}

std::string ErrnoText(int error_number) {
  char buffer[256];
  return strerror_r(error_number, buffer, sizeof buffer);  // the GNU variant returns the text
}

void AppendPlace(std::string& place, const std::string& more) {
  if (!place.empty()) place += ", ";
  place += more;
}

}  // namespace

std::string_view ErrorKindName(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "invalid argument";
    case ErrorKind::kNotFound:
      return "not found";
    case ErrorKind::kAlreadyExists:
      return "already exists";
    case ErrorKind::kCorrupt:
      return "corrupt";
    case ErrorKind::kContradiction:
      return "contradiction";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kIo:
      return "i/o error";
    case ErrorKind::kNoSpace:
      return "no space";
    case ErrorKind::kPermission:
      return "permission denied";
    case ErrorKind::kBusy:
      return "busy";
    case ErrorKind::kTimeout:
      return "timeout";
    case ErrorKind::kCancelled:
      return "cancelled";
    case ErrorKind::kInternal:
      return "internal error";
  }
  return "unknown";
}

Error Error::FromErrno(int error_number, std::string what) {
  Error error(KindOfErrno(error_number), std::move(what) + ": " + ErrnoText(error_number));
  error.system_errno_ = error_number;
  return error;
}

Error&& Error::AtOffset(uint64_t byte_offset) && {
  AppendPlace(place_, "offset " + std::to_string(byte_offset));
  return std::move(*this);
}

Error&& Error::AtFrame(int64_t frame) && {
  AppendPlace(place_, "frame " + std::to_string(frame));
  return std::move(*this);
}

Error&& Error::At(std::string place) && {
  AppendPlace(place_, place);
  return std::move(*this);
}

std::string Error::ToString() const {
  std::string text;
  for (auto doing = context_.rbegin(); doing != context_.rend(); ++doing) text += *doing + ": ";
  if (!file_.empty()) text += file_ + ": ";
  if (!place_.empty()) text += place_ + ": ";
  text += what_;
  if (!expected_.empty()) text += "; expected " + expected_;
  if (!found_.empty()) text += (expected_.empty() ? "; found " : ", found ") + found_;
  if (!advice_.empty()) text += ". " + advice_;
  return text;
}

}  // namespace penstock
