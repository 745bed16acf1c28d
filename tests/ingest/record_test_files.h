// Help for the tests of formats of fixed records: bytes put together, files damaged at random.

#ifndef PENSTOCK_TESTS_INGEST_RECORD_TEST_FILES_H_
#define PENSTOCK_TESTS_INGEST_RECORD_TEST_FILES_H_

#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {

template <typename T>
void Put(Bytes& bytes, size_t offset, T value) {
  if (bytes.size() < offset + sizeof(T)) bytes.resize(offset + sizeof(T));
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

template <typename T>
void Add(Bytes& bytes, T value) {
  Put(bytes, bytes.size(), value);
}

void PutText(Bytes& bytes, size_t offset, std::string_view text);

template <typename T>
T At(const Bytes& bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

// Opens with detection.
Result<std::unique_ptr<FrameSource>> OpenAny(const std::filesystem::path& path,
                                             const OpenOptions& options = {});

// The decoded frames; an expectation fails where there are none.
Bytes DecodedFrames(const FrameSource& source, TestReport& report, int64_t frames_per_call = 3);

// Which bytes of which file a decoder has read; every byte may be read once.
struct SeenBytes final : RawBytesObserver {
  void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override;
  size_t Count(size_t file) const;
  std::map<size_t, std::vector<bool>> files;
};

// Writes `file` as `name` with bytes changed at random in its first `head` bytes, or cut, opens and
// decodes it: it may be refused, but nothing else may happen. Runs `count` times.
void DamageAtRandom(const TestDirectory& directory, const std::string& name, const Bytes& file,
                    size_t head, int count, std::string_view format = {},
                    const OpenOptions& options = {});

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_INGEST_RECORD_TEST_FILES_H_
