#include "tests/ingest/k2is_test_files.h"

#include <map>

namespace penstock::ingest {

namespace {

// Packed blocks of a frame by sector and number, made once per frame: the tests share them.
const std::vector<Bytes>& PackedFrame(int64_t id) {
  static std::map<int64_t, std::vector<Bytes>> frames;
  std::vector<Bytes>& blocks = frames[id];
  if (!blocks.empty()) return blocks;
  for (int64_t sector = 0; sector < 8; ++sector) {
    for (int64_t k = 0; k < 32; ++k) {
      const int64_t x0 = 256 * sector + 16 * (15 - k % 16);
      const int64_t y0 = 930 * (k / 16);
      Bytes packed;
      packed.reserve(930 * 24);
      for (int64_t y = y0; y < y0 + 930; ++y) {
        for (int64_t x = x0; x < x0 + 16; x += 2) {
          const unsigned even = K2isPixel(id, y, x);
          const unsigned odd = K2isPixel(id, y, x + 1);
          packed.push_back(static_cast<std::byte>(even & 0xFFU));
          packed.push_back(static_cast<std::byte>(even >> 8 | (odd & 0xFU) << 4));
          packed.push_back(static_cast<std::byte>(odd >> 4));
        }
      }
      blocks.push_back(std::move(packed));
    }
  }
  return blocks;
}

Bytes Header(uint32_t count, uint32_t id, size_t k, bool flagged) {
  Bytes header(40);
  PokeBig32(header, 0, 0xFFFF0055);
  header[8] = std::byte{1};
  header[9] = flagged ? std::byte{1} : std::byte{0};
  PokeBig32(header, 16, count);
  PokeBig16(header, 20, 256);
  PokeBig16(header, 22, 1860);
  PokeBig32(header, 24, id);
  const auto x = static_cast<uint16_t>(16 * (15 - k % 16));
  const auto y = static_cast<uint16_t>(930 * (k / 16));
  PokeBig16(header, 28, x);
  PokeBig16(header, 30, y);
  PokeBig16(header, 32, static_cast<uint16_t>(x + 15));
  PokeBig16(header, 34, static_cast<uint16_t>(y + 929));
  PokeBig32(header, 36, 0x5758);
  return header;
}

}  // namespace

uint16_t K2isPixel(int64_t id, int64_t y, int64_t x) {
  return static_cast<uint16_t>((37 * id + 5 * y + 3 * x + y * x / 7) % 4096);
}

Bytes K2isFrame(int64_t id) {
  Bytes frame(static_cast<size_t>(1860) * 2048 * 2);
  size_t at = 0;
  for (int64_t y = 0; y < 1860; ++y) {
    for (int64_t x = 0; x < 2048; ++x, at += 2) {
      const uint16_t pixel = K2isPixel(id, y, x);
      std::memcpy(frame.data() + at, &pixel, 2);
    }
  }
  return frame;
}

TestK2is::TestK2is(const std::vector<int64_t>& ids, int64_t first_flagged, bool with_pixels) {
  uint32_t count = 1000;
  for (const int64_t id : ids) {
    for (size_t k = 0; k < 32; ++k, ++count) {
      for (size_t sector = 0; sector < 8; ++sector) {
        Bytes block = Header(count, static_cast<uint32_t>(id), k, id >= first_flagged);
        if (with_pixels) {
          const Bytes& packed = PackedFrame(id)[sector * 32 + k];
          block.insert(block.end(), packed.begin(), packed.end());
        } else {
          block.resize(kBlock);
        }
        sectors[sector].push_back(std::move(block));
      }
    }
  }
}

TestK2is TestK2is::Series() {
  TestK2is set({77, 78, 79, 80, 81});
  for (size_t sector = 0; sector < 8; ++sector) {
    auto& blocks = set.sectors[sector];
    blocks.erase(blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(sector));
  }
  set.sectors[0].resize(set.sectors[0].size() - 3);
  return set;
}

TestTagFile K2isTags(std::optional<std::pair<uint32_t, uint32_t>> si,
                     std::optional<std::pair<uint32_t, uint32_t>> sampling) {
  TestTagFile file;
  if (si) {
    file.root.push_back(
        TestTag::Group("SI Dimensions", {TestTag::Number<uint32_t>("Size X", si->second),
                                         TestTag::Number<uint32_t>("Size Y", si->first)}));
  }
  std::vector<TestTag> image = {
      TestTag::Group(
          "Acquisition",
          {TestTag::Group(
              "Parameters",
              {TestTag::Group("High Level", {TestTag::Number<double>("Exposure (s)", 0.0025)})})}),
      TestTag::Group("Microscope Info", {TestTag::Number<double>("Voltage", 300000.0),
                                         TestTag::Number<double>("STEM Camera Length", 230.0)})};
  if (sampling) {
    image.push_back(TestTag::Group(
        "SI",
        {TestTag::Group(
            "Acquisition",
            {TestTag::Group("Spatial Sampling",
                            {TestTag::Number<uint32_t>("Height (pixels)", sampling->first),
                             TestTag::Number<uint32_t>("Width (pixels)", sampling->second)})})}));
  }
  file.root.push_back(TestTag::Group("SI Image Tags", std::move(image)));
  return file;
}

std::filesystem::path TestK2is::Write(const TestDirectory& directory,
                                      std::optional<std::pair<uint32_t, uint32_t>> si,
                                      std::optional<std::pair<uint32_t, uint32_t>> sampling) const {
  for (size_t sector = 0; sector < 8; ++sector) {
    if (sectors[sector].empty()) continue;
    Bytes bytes;
    bytes.reserve(sectors[sector].size() * kBlock);
    for (const Bytes& block : sectors[sector])
      bytes.insert(bytes.end(), block.begin(), block.end());
    directory.Write("scan_" + std::to_string(sector + 1) + ".bin", bytes);
  }
  return directory.Write("scan_.gtg", K2isTags(si, sampling).Build());
}

void PokeBig32(Bytes& bytes, size_t offset, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[offset + i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

void PokeBig16(Bytes& bytes, size_t offset, uint16_t value) {
  for (size_t i = 0; i < 2; ++i) bytes[offset + i] = static_cast<std::byte>(value >> (8 - 8 * i));
}

}  // namespace penstock::ingest
