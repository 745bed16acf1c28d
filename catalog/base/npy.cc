#include "penstock/base/npy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "penstock/base/file.h"
#include "penstock/base/npy_memory.h"

namespace penstock {

namespace {

// The size of the units whose bytes are swapped: a complex number is two of them.
size_t SwapUnit(ElementType type) {
  return IsComplex(type) ? ElementSize(type) / 2 : ElementSize(type);
}

void SwapBytes(std::span<std::byte> bytes, size_t unit) {
  for (size_t i = 0; i + unit <= bytes.size(); i += unit) {
    std::reverse(bytes.begin() + static_cast<ptrdiff_t>(i),
                 bytes.begin() + static_cast<ptrdiff_t>(i + unit));
  }
}

std::vector<std::byte> FortranToC(const std::vector<std::byte>& source,
                                  const std::vector<int64_t>& shape, size_t element) {
  std::vector<std::byte> target(source.size());
  std::array<size_t, kMaxNpyAxes> source_stride{};
  size_t stride = element;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    source_stride[axis] = stride;
    stride *= static_cast<size_t>(shape[axis]);
  }
  std::array<int64_t, kMaxNpyAxes> index{};
  size_t from = 0;
  for (size_t to = 0; to < target.size(); to += element) {
    std::memcpy(target.data() + to, source.data() + from, element);
    for (size_t axis = shape.size(); axis-- > 0;) {
      from += source_stride[axis];
      if (++index[axis] < shape[axis]) break;
      from -= source_stride[axis] * static_cast<size_t>(shape[axis]);
      index[axis] = 0;
    }
  }
  return target;
}

Status WriteBoth(int fd, std::string_view header, std::span<const std::byte> bytes,
                 const std::filesystem::path& path) {
  PENSTOCK_RETURN_IF_ERROR(WriteFully(fd, 0, AsBytes(header), path));
  PENSTOCK_RETURN_IF_ERROR(WriteFully(fd, header.size(), bytes, path));
  if (fsync(fd) != 0) return Error::FromErrno(errno, "cannot sync").In(path);
  return {};
}

// C order and little-endian, whatever the file's order is.
NpyArray ToNative(const NpyHeader& header, std::vector<std::byte> bytes) {
  if (header.big_endian) SwapBytes(bytes, SwapUnit(header.element_type));
  if (header.fortran_order && header.shape.size() > 1 && !bytes.empty()) {
    bytes = FortranToC(bytes, header.shape, ElementSize(header.element_type));
  }
  return {.element_type = header.element_type,
          .is_boolean = header.is_boolean,
          .shape = header.shape,
          .bytes = std::move(bytes)};
}

}  // namespace

Result<NpyArray> ReadNpy(const std::filesystem::path& path, uint64_t limit) {
  PENSTOCK_ASSIGN_OR_RETURN(const NpyHeader header, ReadNpyHeader(path));
  if (header.data_bytes > limit) {
    return Error::Unsupported("the array is larger than this use allows")
        .In(path)
        .Expected("at most " + std::to_string(limit) + " bytes")
        .Found(std::to_string(header.data_bytes));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd.get(), path));
  if (identity.size != header.data_offset + header.data_bytes) {
    return Error::Corrupt("the file is not as long as its NPY header says")
        .In(path)
        .Expected(std::to_string(header.data_offset + header.data_bytes) + " bytes")
        .Found(std::to_string(identity.size))
        .Advice("Check whether the file was copied completely");
  }
  std::vector<std::byte> bytes(header.data_bytes);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), header.data_offset, bytes, path));
  return ToNative(header, std::move(bytes));
}

Result<NpyArray> ParseNpy(std::span<const std::byte> file,
                          const std::filesystem::path& path_for_errors) {
  PENSTOCK_ASSIGN_OR_RETURN(
      const NpyHeader header,
      ParseNpyHeader(file.first(std::min<size_t>(file.size(), kMaxNpyHeaderBytes + 12)),
                     path_for_errors));
  if (file.size() != header.data_offset + header.data_bytes) {
    return Error::Corrupt("the array is not as long as its NPY header says")
        .In(path_for_errors)
        .Expected(std::to_string(header.data_offset + header.data_bytes) + " bytes")
        .Found(std::to_string(file.size()));
  }
  const auto elements = file.subspan(header.data_offset);
  return ToNative(header, {elements.begin(), elements.end()});
}

Status WriteNpy(const std::filesystem::path& path, ElementType type, std::span<const int64_t> shape,
                std::span<const std::byte> bytes) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string header, MakeNpyHeader(type, shape));
  uint64_t expected = ElementSize(type);
  for (const int64_t length : shape) {
    if (__builtin_mul_overflow(expected, static_cast<uint64_t>(length), &expected)) {
      return Error::InvalidArgument("the shape is larger than memory").In(path);
    }
  }
  if (expected != bytes.size()) {
    return Error::InvalidArgument("the shape does not fit the elements")
        .In(path)
        .Expected(std::to_string(expected) + " bytes")
        .Found(std::to_string(bytes.size()));
  }
  const std::filesystem::path temporary = path.string() + ".part." + std::to_string(getpid());
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  Status written = WriteBoth(fd.get(), header, bytes, temporary);
  fd.Close();
  if (written.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    written =
        Error::FromErrno(errno, "cannot rename " + temporary.string() + " to this name").In(path);
  }
  if (!written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  return SyncDirectory(path.has_parent_path() ? path.parent_path() : ".");
}

}  // namespace penstock
