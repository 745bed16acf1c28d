#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/cachefs/control.h"
#include "penstock/dataset/lease_protocol.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kLongestAnswer = size_t{64} << 20;

std::optional<std::string> Attribute(const std::filesystem::path& path, const char* name) {
  char value[4096];
  const ssize_t length = getxattr(path.c_str(), name, value, sizeof value);
  if (length < 0) return std::nullopt;
  return std::string(value, static_cast<size_t>(length));
}

std::string JoinStorePath(const std::string& dataset, const std::filesystem::path& rest) {
  std::string below = rest == "." ? "" : rest.generic_string();
  if (dataset.empty() || dataset == ".") return below;
  return below.empty() ? dataset : dataset + "/" + below;
}

Error FromAnswer(const Json& answer) {
  const std::string kind = answer.value("kind", "");
  for (const ErrorKind known :
       {ErrorKind::kInvalidArgument, ErrorKind::kNotFound, ErrorKind::kPermission,
        ErrorKind::kCorrupt, ErrorKind::kNoSpace, ErrorKind::kCancelled, ErrorKind::kTimeout}) {
    if (kind == ErrorKindName(known)) return {known, answer["error"].get<std::string>()};
  }
  return {ErrorKind::kIo, answer["error"].get<std::string>()};
}

}  // namespace

Result<ControlAddress> FindControlSocket(const std::filesystem::path& path) {
  std::error_code failure;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failure);
  struct stat status {};
  if (failure || stat(absolute.c_str(), &status) != 0) {
    return Error::FromErrno(failure ? failure.value() : errno, "cannot reach").In(path.string());
  }
  if (std::filesystem::exists(absolute / "penstock-cache.json", failure)) {
    return ControlAddress{.socket = absolute / "control.sock", .path_in_store = ""};
  }
  std::filesystem::path directory = absolute.lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();  // a trailing slash
  const std::filesystem::path asked = directory;
  while (true) {
    if (const auto socket = Attribute(directory, kControlAttribute)) {
      const std::string dataset = Attribute(directory, lease::kDatasetAttribute).value_or("");
      return ControlAddress{
          .socket = *socket,
          .path_in_store = JoinStorePath(dataset, asked.lexically_relative(directory))};
    }
    if (directory == directory.parent_path()) break;
    directory = directory.parent_path();
  }
  return Error::NotFound("this is not on a penstock mount")
      .In(path.string())
      .Advice("name a path on the mount, or its cache directory");
}

Result<Json> AskDaemon(const std::filesystem::path& socket_path, const Json& request,
                       const std::function<void(const Json&)>& progress,
                       std::chrono::milliseconds patience, const std::stop_token& stop) {
  const std::string path = socket_path.string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error::InvalidArgument("the path is too long for a socket").In(path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error::FromErrno(errno, "the daemon cannot be reached")
        .In(path)
        .Advice("is penstock mount running?");
  }
  const timeval wait{.tv_sec = patience.count() / 1000, .tv_usec = patience.count() % 1000 * 1000};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  const std::string line = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return Error::FromErrno(errno, "cannot ask the daemon").In(path);
  }

  std::string received;
  size_t searched = 0;  // up to here there is no end of a line
  std::vector<char> chunk(size_t{256} << 10);
  while (true) {
    if (stop.stop_requested()) return Error::Cancelled("interrupted");
    const size_t end = received.find('\n', searched);
    if (end == std::string::npos) {
      searched = received.size();
      const ssize_t count = recv(socket.get(), chunk.data(), chunk.size(), 0);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return Error::Timeout("the daemon does not answer").In(path);
      if (count == 0 || received.size() > kLongestAnswer) {
        return Error(ErrorKind::kIo, "the daemon ended the conversation").In(path);
      }
      received.append(chunk.data(), static_cast<size_t>(count));
      continue;
    }
    Json answer = Json::parse(std::string_view(received).substr(0, end), nullptr,
                              /*allow_exceptions=*/false);
    received.erase(0, end + 1);
    searched = 0;
    if (!answer.is_object()) return Error::Internal("the daemon's answer is not JSON").In(path);
    if (answer.contains("error") && answer["error"].is_string()) return FromAnswer(answer);
    if (answer.contains("done")) return answer;
    if (progress) progress(answer);
  }
}

}  // namespace penstock::cachefs
