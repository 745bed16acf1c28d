// Matrices of scipy.sparse.save_npz: a zip archive of .npy members.
//
// Source of the format: scipy.sparse.save_npz. `format` is a string of bytes without axes, `shape`
// has two integers; csr and csc have `indices`, `indptr` and `data`, coo has `row`, `col`, `data`.

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "penstock/base/npy_memory.h"
#include "penstock/reader/sparse_mask.h"

namespace penstock {

namespace {

constexpr uint64_t kMaximumMemberBytes = uint64_t{16} << 30;

struct Archive {
  struct Discard {
    void operator()(zip_t* archive) const { zip_discard(archive); }
  };
  struct Close {
    void operator()(zip_file_t* file) const { zip_fclose(file); }
  };
  std::unique_ptr<zip_t, Discard> handle;
  std::string path;

  static Result<Archive> Open(const std::filesystem::path& path) {
    int code = 0;
    Archive archive{std::unique_ptr<zip_t, Discard>(zip_open(path.c_str(), ZIP_RDONLY, &code)),
                    path.string()};
    if (archive.handle) return archive;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string text = zip_error_strerror(&error);
    zip_error_fini(&error);
    if (code == ZIP_ER_NOENT) return Error::NotFound("there is no such file").In(archive.path);
    return Error::Unsupported(fmt::format("the file can't be read as an .npz archive: {}", text))
        .In(archive.path);
  }

  Error Refuse(const std::string& member, const std::string& what) const {
    return Error::Unsupported(fmt::format("{}: {}", member, what))
        .In(path)
        .Expected("what scipy.sparse.save_npz writes for csr, csc or coo");
  }

  Result<std::vector<std::byte>> Read(const std::string& member) const {
    const std::string name = member + ".npy";
    zip_stat_t about;
    if (zip_stat(handle.get(), name.c_str(), 0, &about) != 0 ||
        (about.valid & ZIP_STAT_SIZE) == 0) {
      return Refuse(name, "the archive has no such member");
    }
    if (about.size > kMaximumMemberBytes) return Refuse(name, "larger than 16 GiB");
    const std::unique_ptr<zip_file_t, Close> file(zip_fopen(handle.get(), name.c_str(), 0));
    if (!file) return Refuse(name, zip_strerror(handle.get()));
    // The size is what the archive says of itself: memory grows with what really comes.
    std::vector<std::byte> bytes;
    constexpr size_t kPiece = size_t{1} << 20;
    while (bytes.size() < about.size) {
      const size_t had = bytes.size();
      bytes.resize(std::min<size_t>(about.size, had + std::max(kPiece, had)));
      const zip_int64_t got = zip_fread(file.get(), bytes.data() + had, bytes.size() - had);
      if (got <= 0) {
        return Error::Corrupt(
                   fmt::format("{} can't be unpacked: {}", name,
                               got < 0 ? zip_file_strerror(file.get()) : "it ends early"))
            .In(path);
      }
      bytes.resize(had + static_cast<size_t>(got));
    }
    // What is behind the last byte makes libzip hold the content against its checksum.
    std::byte beyond{};
    if (zip_fread(file.get(), &beyond, 1) != 0) {
      return Error::Corrupt(fmt::format("{} has a wrong checksum", name)).In(path);
    }
    return bytes;
  }

  Result<NpyArray> Array(const std::string& member, size_t axes) const {
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, Read(member));
    PENSTOCK_ASSIGN_OR_RETURN(NpyArray array, ParseNpy(bytes, path + "/" + member + ".npy"));
    if (array.shape.size() != axes) {
      return Refuse(member, fmt::format("{} axes instead of {}", array.shape.size(), axes));
    }
    return array;
  }

  Result<std::vector<int64_t>> Integers(const std::string& member) const {
    PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, Array(member, 1));
    if (!IsInteger(array.element_type)) return Refuse(member, "its elements are no integers");
    std::vector<int64_t> integers(static_cast<size_t>(array.shape[0]));
    VisitElementType(array.element_type, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_integral_v<T>) {
        for (size_t i = 0; i < integers.size(); ++i) {
          T value{};
          std::memcpy(&value, array.bytes.data() + i * sizeof(T), sizeof(T));
          // NOLINTNEXTLINE(bugprone-signed-char-misuse): a small integer
          integers[i] = static_cast<int64_t>(value);
        }
      }
    });
    return integers;
  }
};

// The format is the text behind the header, as bytes or as 32-bit characters.
Result<std::string> ReadFormat(const Archive& archive) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, archive.Read("format"));
  std::string text;
  const size_t line =
      static_cast<size_t>(std::ranges::find(bytes, std::byte{'\n'}) - bytes.begin());
  for (size_t i = line + 1; i < bytes.size() && text.size() < 16; ++i) {
    if (bytes[i] != std::byte{0}) text += static_cast<char>(bytes[i]);
  }
  if (text != "csr" && text != "csc" && text != "coo") {
    return archive.Refuse("format", "this kind of matrix is not supported")
        .Advice("save it with .tocsr()");
  }
  return text;
}

struct Values {
  std::vector<double> real;
  std::vector<double> imaginary;
};

Result<Values> ReadValues(const Archive& archive) {
  PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, archive.Array("data", 1));
  Values values;
  const auto count = static_cast<size_t>(array.shape[0]);
  values.real.resize(count);
  if (IsComplex(array.element_type)) values.imaginary.resize(count);
  VisitElementType(array.element_type, [&](auto zero) {
    using T = decltype(zero);
    for (size_t i = 0; i < count; ++i) {
      T value{};
      std::memcpy(&value, array.bytes.data() + i * sizeof(T), sizeof(T));
      if constexpr (std::is_arithmetic_v<T>) {
        values.real[i] = static_cast<double>(value);
      } else {
        values.real[i] = static_cast<double>(value.real());
        values.imaginary[i] = static_cast<double>(value.imag());
      }
    }
  });
  return values;
}

// The major index of every entry of a compressed matrix.
Result<std::vector<int64_t>> Expand(const Archive& archive, const std::vector<int64_t>& starts,
                                    size_t entries) {
  if (starts.empty() || starts.front() != 0 || starts.back() != static_cast<int64_t>(entries) ||
      !std::ranges::is_sorted(starts)) {
    return archive.Refuse("indptr", "does not rise from 0 to the number of entries");
  }
  std::vector<int64_t> majors;
  majors.reserve(entries);
  for (size_t k = 0; k + 1 < starts.size(); ++k) {
    majors.insert(majors.end(), static_cast<size_t>(starts[k + 1] - starts[k]),
                  static_cast<int64_t>(k));
  }
  return majors;
}

}  // namespace

Result<std::vector<SparseMask>> LoadSparseMasks(const std::filesystem::path& npz_file,
                                                SignalShape shape) {
  PENSTOCK_ASSIGN_OR_RETURN(const Archive archive, Archive::Open(npz_file));
  PENSTOCK_ASSIGN_OR_RETURN(const std::string format, ReadFormat(archive));
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<int64_t> lengths, archive.Integers("shape"));
  if (lengths.size() != 2 || lengths[0] < 1 || lengths[0] > (int64_t{1} << 24) ||
      lengths[1] != shape.pixel_count()) {
    return Error::Unsupported("the matrix does not fit the frames as a stack of masks")
        .In(archive.path)
        .Expected(fmt::format("(masks, {}): a row per mask, a column per pixel of {} x {}",
                              shape.pixel_count(), shape.rows, shape.columns))
        .Found(fmt::format("({})", fmt::join(lengths, ", ")));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Values values, ReadValues(archive));
  const bool compressed = format != "coo";
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<int64_t> rows,
                            archive.Integers(compressed ? "indptr" : "row"));
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<int64_t> columns,
                            archive.Integers(compressed ? "indices" : "col"));
  if (compressed) {
    PENSTOCK_ASSIGN_OR_RETURN(rows, Expand(archive, rows, columns.size()));
    if (format == "csc") std::swap(rows, columns);
  }
  if (rows.size() != values.real.size() || columns.size() != values.real.size()) {
    return archive.Refuse("data", "not one value per entry");
  }
  const std::string name = npz_file.filename().string();
  std::vector<SparseMask> masks(static_cast<size_t>(lengths[0]));
  for (size_t k = 0; k < masks.size(); ++k) {
    masks[k].name = masks.size() > 1 ? fmt::format("{}[{}]", name, k) : name;
    masks[k].shape = shape;
  }
  for (size_t e = 0; e < rows.size(); ++e) {
    if (rows[e] < 0 || rows[e] >= lengths[0]) {
      return archive.Refuse("data", fmt::format("an entry in row {}", rows[e]));
    }
    SparseMask& mask = masks[static_cast<size_t>(rows[e])];
    mask.pixels.push_back(columns[e]);
    mask.weights.push_back(values.real[e]);
    if (!values.imaginary.empty()) mask.imaginary.push_back(values.imaginary[e]);
  }
  for (const SparseMask& mask : masks) {
    const Status status = Validate(mask);
    if (!status.ok()) return Error(status.error()).In(archive.path);
  }
  return masks;
}

}  // namespace penstock
