// FaceHeader: the bytes before the frames of a face. And FaceHeaders, which makes and keeps them.

#ifndef PENSTOCK_CACHEFS_FACES_FACE_HEADER_H_
#define PENSTOCK_CACHEFS_FACES_FACE_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "cachefs/faces/face.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// Immutable.
class FaceHeader {
 public:
  explicit FaceHeader(std::string text) : text_(std::move(text)) {}
  // `file`: in memory.
  explicit FaceHeader(FileDescriptor file) : file_(std::move(file)) {}

  // Precondition: inside of the header.
  Status Read(uint64_t offset, std::span<std::byte> destination) const;
  uint64_t memory_bytes() const;

 private:
  std::string text_;
  FileDescriptor file_;
};

// Blocking: what is not kept is made from the store, on worker threads. Thread-safe.
class FaceHeaders {
 public:
  struct Limits {
    uint64_t kept_bytes = uint64_t{64} << 20;  // of the latest ones, whether they are open or not
    uint64_t most_bytes = uint64_t{1} << 30;   // with so many in use, no other one is made
  };

  explicit FaceHeaders(std::shared_ptr<Upstream> upstream) : FaceHeaders(std::move(upstream), {}) {}
  FaceHeaders(std::shared_ptr<Upstream> upstream, const Limits& limits)
      : upstream_(std::move(upstream)), limits_(limits) {}

  // Everything that goes into a header is held against checksums.xxh128: kCorrupt where it differs.
  // kNoSpace where the headers in use take too much memory.
  // system_errno() is ESTALE where the dataset is not the one of the face any more.
  Result<std::shared_ptr<const FaceHeader>> Get(const Face& face);

 private:
  struct Slot {
    std::mutex mutex;                        // one thread makes a header
    std::weak_ptr<const FaceHeader> header;  // changed with both mutexes held
  };

  Result<std::shared_ptr<const FaceHeader>> MakeNexus(const Face& face);
  Status FillIn(const Face& face, const EmbeddedArray& array, const std::string& digest, int fd);
  std::shared_ptr<Slot> SlotOf(const std::string& id);
  void Keep(const std::shared_ptr<const FaceHeader>& header);
  uint64_t BytesInUse();

  const std::shared_ptr<Upstream> upstream_;
  const Limits limits_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Slot>> slots_;  // by face id
  std::list<std::shared_ptr<const FaceHeader>> kept_;             // the latest first
};

// The text of checksums.xxh128 as a mount shows it: without data.nxs.
Result<std::string> ChecksumsWithoutNexus(const std::string& text, const std::string& path);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FACES_FACE_HEADER_H_
