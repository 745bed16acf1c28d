// penstock_write_arrays FOLDER: .npy files and PNGs of known content, for tests that read them with
// NumPy and Pillow; and reads FOLDER/in.npy, where there is one, back to FOLDER/out.npy.

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "penstock/base/npy.h"
#include "penstock/base/png.h"

namespace penstock {
namespace {

// Element i is i, or i - i * sqrt(-1) for complex types.
Status WriteCounting(const std::filesystem::path& folder, ElementType type) {
  constexpr int kCount = 24;
  std::vector<std::byte> bytes;
  VisitElementType(type, [&](auto zero) {
    using T = decltype(zero);
    for (int i = 0; i < kCount; ++i) {
      T value{};
      if constexpr (requires { value.imag(); }) {
        value = T(static_cast<float>(i), static_cast<float>(-i));
      } else {
        value = static_cast<T>(i);
      }
      std::byte raw[sizeof(T)];
      std::memcpy(raw, &value, sizeof(T));
      bytes.insert(bytes.end(), raw, raw + sizeof(T));
    }
  });
  const std::vector<int64_t> shape{2, 3, 4};
  return WriteNpy(folder / (std::string(ZarrDataType(type)) + ".npy"), type, shape, bytes);
}

Status WriteImages(const std::filesystem::path& folder) {
  constexpr ImageShape kShape{.rows = 5, .columns = 7};
  std::vector<uint8_t> grey;
  std::vector<uint16_t> deep;
  std::vector<uint8_t> rgb;
  for (int i = 0; i < kShape.pixel_count(); ++i) {
    grey.push_back(static_cast<uint8_t>(i * 7));
    deep.push_back(static_cast<uint16_t>(i * 1800));
    for (const int channel : {1, 2, 3}) rgb.push_back(static_cast<uint8_t>(i * channel));
  }
  const std::vector<PngText> text{{"Title", "grey"}, {"Description", "0.5 \xc3\x85 per pixel"}};
  PENSTOCK_RETURN_IF_ERROR(WriteGreyPng(folder / "grey8.png", kShape, grey, text));
  PENSTOCK_RETURN_IF_ERROR(WriteGreyPng(folder / "grey16.png", kShape, deep));
  return WriteRgbPng(folder / "rgb.png", kShape, rgb);
}

Status Run(const std::filesystem::path& folder) {
  for (int type = 0; type <= static_cast<int>(ElementType::kComplex128); ++type) {
    PENSTOCK_RETURN_IF_ERROR(WriteCounting(folder, static_cast<ElementType>(type)));
  }
  PENSTOCK_RETURN_IF_ERROR(WriteImages(folder));
  if (!std::filesystem::exists(folder / "in.npy")) return {};
  PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, ReadNpy(folder / "in.npy", 1 << 20));
  return WriteNpy(folder / "out.npy", array.element_type, array.shape, array.bytes);
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const penstock::Status done = penstock::Run(argv[1]);
  if (done.ok()) return 0;
  std::fprintf(stderr, "%s\n", done.error().ToString().c_str());
  return 1;
}
