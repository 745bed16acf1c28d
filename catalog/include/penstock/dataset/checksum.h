// XXH3 digests as penstock stores them.
//
// Whole files: XXH3-128, written as 32 hexadecimal digits, equal to the output of `xxh128sum`.
// Extents: XXH3-64 of each 4 MiB of a block file (block_layout.h).

#ifndef PENSTOCK_DATASET_CHECKSUM_H_
#define PENSTOCK_DATASET_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock {

uint64_t HashExtent(std::span<const std::byte> bytes);

// Incremental XXH3-128. Not thread-safe.
class FileHasher {
 public:
  FileHasher();
  ~FileHasher();
  FileHasher(FileHasher&&) noexcept;
  FileHasher& operator=(FileHasher&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  std::string HexDigest() const;  // of everything so far; 32 lower-case digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Incremental XXH3-64 of every extent of a block file (kExtentBytes each, the last one shorter), in
// one pass with the bytes from the start of the file. Not thread-safe.
class ExtentHasher {
 public:
  ExtentHasher();
  ~ExtentHasher();
  ExtentHasher(ExtentHasher&&) noexcept;
  ExtentHasher& operator=(ExtentHasher&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  // The extents so far, a last short one included. Nothing may be added afterwards.
  std::vector<uint64_t> Finish();

 private:
  void CloseExtent();
  struct State;
  std::unique_ptr<State> state_;
};

std::string HashBytes(std::span<const std::byte> bytes);  // 32 lower-case digits

// Reads the file with a bounded buffer.
Result<std::string> HashFile(const std::filesystem::path& path);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_CHECKSUM_H_
