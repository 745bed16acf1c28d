#include "cachefs/upstream/read_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace penstock::cachefs {

Result<std::string> ReadUpstreamFile(Upstream& upstream, const std::string& path, uint64_t limit) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto file, upstream.Open(path));
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, file->Stat());
  if (!S_ISREG(status.st_mode)) return Error::Corrupt("not a regular file").In(path);
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size > limit) {
    return Error::Unsupported("the file is too large for what it should be")
        .In(path)
        .Expected(fmt::format("at most {} bytes", limit))
        .Found(fmt::format("{} bytes", size));
  }
  std::string text(size, '\0');
  PENSTOCK_ASSIGN_OR_RETURN(
      const size_t read, file->Read(0, {reinterpret_cast<std::byte*>(text.data()), text.size()}));
  if (read != size) {
    return Error::Corrupt("the file is shorter than its size")
        .In(path)
        .Expected(fmt::format("{} bytes", size))
        .Found(fmt::format("{} bytes", read));
  }
  upstream.Keep(path, status, text);
  return text;
}

}  // namespace penstock::cachefs
