// Digests of the vendor's files, taken from the bytes as decoders read them.
//
// Workers read a file in ranges out of order, so its digest is a tree: XXH3-128 over the XXH3-128
// digests (16 bytes each, in the order of the hexadecimal digits) of its 4 MiB leaves. Leaves of
// which a decoder has not read every byte in order are read once more at the end. A file of one
// leaf has the plain XXH3-128, so that `xxh128sum` gives the same.

#ifndef PENSTOCK_INGEST_PIPELINE_SOURCE_DIGEST_H_
#define PENSTOCK_INGEST_PIPELINE_SOURCE_DIGEST_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "penstock/base/progress.h"
#include "penstock/dataset/checksum.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

inline constexpr uint64_t kDigestLeafBytes = uint64_t{4} << 20;
inline constexpr std::string_view kPlainDigest = "xxh3-128";
inline constexpr std::string_view kTreeDigest = "xxh3-128-tree-4MiB";

struct LeafDigest {
  size_t file = 0;
  uint64_t leaf = 0;
  std::string digest;  // 32 digits
};

struct SourceDigest {
  std::string algorithm;  // kPlainDigest or kTreeDigest
  std::string digest;     // 32 digits
};

// Thread-safe but for Finish.
class SourceDigests final : public RawBytesObserver {
 public:
  explicit SourceDigests(const std::vector<SourceFile>& files);

  void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override;

  // The files, to which bytes may have been added and beside which there may be new ones. Leaves
  // that are known in full stay known, but for the first one of a file that grew, where a header
  // may have been brought up to date. Not while decoders run.
  void Grow(const std::vector<SourceFile>& files);

  // Leaves that are known from an earlier run over the same files. Ignores what does not fit.
  void Adopt(const LeafDigest& leaf);
  // Leaves completed since the last call.
  std::vector<LeafDigest> TakeCompleted();

  // Reads what is missing and gives one digest per file. kCancelled when stopped.
  Result<std::vector<SourceDigest>> Finish(ProgressSink& progress, const std::stop_token& stop);
  // Bytes that Finish has to read.
  uint64_t MissingBytes() const;

 private:
  struct File {
    std::filesystem::path path;
    uint64_t bytes = 0;
    std::vector<std::string> leaves;  // empty where not known yet
  };
  struct OpenLeaf {
    FileHasher hasher;
    uint64_t next_offset = 0;
  };

  uint64_t LeafEnd(const File& file, uint64_t leaf) const;
  void OnLeafBytes(size_t file, uint64_t leaf, uint64_t offset, std::span<const std::byte> bytes);
  Status ReadLeaf(int fd, File& file, uint64_t leaf, std::span<std::byte> buffer);

  mutable std::mutex mutex_;
  std::vector<File> files_;
  std::map<std::pair<size_t, uint64_t>, OpenLeaf> open_;
  std::vector<LeafDigest> completed_;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_SOURCE_DIGEST_H_
