// A whole file mapped for reading, in huge pages where the file system has them.

#ifndef PENSTOCK_READER_IO_MAPPED_FILE_H_
#define PENSTOCK_READER_IO_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "penstock/base/mapping_guard.h"
#include "penstock/base/result.h"

namespace penstock {

// Owns the mapping; the descriptor may be closed. Not synchronised.
class MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile() { Unmap(); }
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  static Result<MappedFile> Map(int fd, uint64_t bytes,
                                const std::filesystem::path& path_for_errors);

  bool valid() const { return data_ != nullptr; }
  const std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

  // Brings the range into the page tables, reading what is not in memory. An error where a page
  // can't be read: it would be found out when it is touched.
  Status Populate(uint64_t begin, uint64_t end);
  // Share of a few probed pages of the range that are in memory, 0 to 1.
  double ResidentShare(uint64_t begin, uint64_t end) const;
  // Whether all pages are; true also where the kernel does not tell this user (mincore(2): neither
  // owner of the file nor allowed to write it).
  bool IsResident(uint64_t begin, uint64_t end) const;
  // The first page that was touched and could not be read: zeros were found there, and whatever
  // was read since the mapping was made is not to be believed.
  std::optional<uint64_t> lost() const { return guard_.lost(); }

 private:
  void Unmap();

  const std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
  std::filesystem::path path_;
  MappingGuard guard_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_MAPPED_FILE_H_
