#include "ingest/formats/hdf5/container.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "ingest/formats/raw/record_source.h"

namespace penstock::ingest::hdf5 {

namespace {

constexpr std::array<unsigned char, 8> kSignature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

constexpr size_t kShortestSuperblock = 48;

struct Superblock {
  uint64_t end_of_file = 0;  // relative to base; 0 where not understood
  bool open_for_writing = false;
};

uint64_t LittleEndian(const std::byte* bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
  return value;
}

// Only what the library does not tell well: a file that is cut short, or being written.
Result<Superblock> ReadSuperblock(int fd, uint64_t base, const std::filesystem::path& path) {
  std::array<std::byte, 128> bytes{};
  PENSTOCK_ASSIGN_OR_RETURN(const size_t size, ReadSome(fd, base, bytes, path));
  Superblock block;
  if (size < kShortestSuperblock) {
    return Error::Corrupt("the file is cut short")
        .In(path.string())
        .AtOffset(base + size)
        .Expected("a superblock of at least 48 bytes")
        .Found(fmt::format("{}", size))
        .Advice("copy the file again from where it was recorded");
  }
  const auto version = std::to_integer<int>(bytes[8]);
  if (version <= 1) {
    const auto width = std::to_integer<size_t>(bytes[13]);
    const size_t addresses = version == 0 ? 24 : 28;
    if (width > 8) return block;
    block.end_of_file = LittleEndian(bytes.data() + addresses + 2 * width, width);
  } else if (version <= 3) {
    const auto width = std::to_integer<size_t>(bytes[9]);
    if (width > 8) return block;
    block.end_of_file = LittleEndian(bytes.data() + 12 + 2 * width, width);
    block.open_for_writing = version == 3 && (std::to_integer<unsigned>(bytes[11]) & 5) != 0;
  }
  return block;
}

Hdf5Handle AccessProperties() {
  Hdf5Handle properties(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_sec2(properties.get());
  H5Pset_fclose_degree(properties.get(), H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
  // Reading must not fail where another program or the file system allows no lock.
  H5Pset_file_locking(properties.get(), false, true);
#endif
  return properties;
}

}  // namespace

std::optional<uint64_t> FindSignature(int fd, uint64_t file_bytes) {
  std::array<std::byte, 8> bytes{};
  for (uint64_t at = 0; at + bytes.size() <= file_bytes; at = at == 0 ? 512 : 2 * at) {
    const auto read = ReadSome(fd, at, bytes, "");
    if (!read.ok() || *read != bytes.size()) return std::nullopt;
    if (std::memcmp(bytes.data(), kSignature.data(), bytes.size()) == 0) return at;
  }
  return std::nullopt;
}

Container::~Container() { CloseLibrary(); }

void Container::CloseLibrary() {
  const Hdf5Session session;
  file_.Reset();
}

Result<std::shared_ptr<Container>> Container::Open(const std::filesystem::path& path) {
  const Hdf5Session session;
  // Filters are undone by us; nothing is ever loaded from a plugin folder.
  H5PLset_loading_state(0);
  std::shared_ptr<Container> container(new Container());
  PENSTOCK_ASSIGN_OR_RETURN(OpenedFile opened, OpenRegularFile(path));
  container->path_ = path;
  container->fd_ = std::move(opened.fd);
  container->identity_ = opened.identity;
  container->family_ = std::make_shared<std::map<std::string, std::weak_ptr<Container>>>();
  const uint64_t size = opened.identity.size;
  const auto signature = FindSignature(container->fd(), size);
  if (!signature) {
    return Error::Corrupt("this is no HDF5 file")
        .In(path.string())
        .AtOffset(0)
        .Expected("the HDF5 signature at byte 0, 512, 1024, 2048, ...")
        .Found(fmt::format("none in {} bytes", size));
  }
  container->base_ = *signature;
  PENSTOCK_ASSIGN_OR_RETURN(const Superblock superblock,
                            ReadSuperblock(container->fd(), *signature, path));
  container->open_for_writing_ = superblock.open_for_writing;
  // The end of file counts from the beginning of the file, or of the HDF5 part: take the smaller.
  if (superblock.end_of_file > size && superblock.end_of_file != UINT64_MAX) {
    return Error::Corrupt("the file is cut short")
        .In(path.string())
        .AtOffset(size)
        .Expected(fmt::format("{} bytes, as its superblock says", superblock.end_of_file))
        .Found(fmt::format("{}", size))
        .Advice("copy the file again from where it was recorded");
  }
  const Hdf5Handle properties = AccessProperties();
  const std::string name = path.string();
  container->file_ = Hdf5Handle(H5Fopen(name.c_str(), H5F_ACC_RDONLY, properties.get()), H5Fclose);
  // Reading beside a writer tries again and again where something looks unfinished.
  if (!container->file_.valid() && superblock.open_for_writing) {
    H5Pset_metadata_read_attempts(properties.get(), 10);
    container->file_ = Hdf5Handle(
        H5Fopen(name.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, properties.get()), H5Fclose);
  }
  if (!container->file_.valid()) {
    Error error = Error::Corrupt("the HDF5 library cannot open the file").In(name);
    if (superblock.open_for_writing) {
      return std::move(error)
          .Found("a mark that a program has it open for writing")
          .Advice("close it there; if that program has crashed: h5clear -s FILE, on a copy");
    }
    return std::move(error).Advice("look at it with h5stat or h5debug; it may be damaged");
  }
  return container;
}

Result<std::shared_ptr<Container>> Container::OpenNeighbour(const std::string& file_name) {
  if (file_name == ".") return Error::Internal("a file is not its own neighbour");
  std::filesystem::path wanted(file_name);
  // An absolute path is that of the machine that recorded the file.
  if (wanted.is_absolute()) wanted = wanted.filename();
  for (const std::filesystem::path& part : wanted) {
    if (part != "..") continue;
    return Error::Unsupported("a link leads out of the folder of its file")
        .In(path_.string())
        .Expected("a file in the same folder or below")
        .Found(file_name)
        .Advice("put both files into one folder, or ingest the other file itself");
  }
  if (file_name.empty() || file_name.size() > 4096 || wanted.empty()) {
    return Error::Corrupt("a link names no file").In(path_.string()).Found("'" + file_name + "'");
  }
  const std::filesystem::path path = (path_.parent_path() / wanted).lexically_normal();
  auto& known = (*family_)[path.string()];
  if (auto open = known.lock()) return open;
  std::error_code problem;
  if (!std::filesystem::exists(path, problem)) {
    return Error::NotFound("a file that this one links to is missing")
        .In(path_.string())
        .Expected(path.string())
        .Found("no such file")
        .Advice("copy it beside the file that links to it, under its original name");
  }
  PENSTOCK_ASSIGN_OR_RETURN(std::shared_ptr<Container> opened, Open(path));
  opened->family_ = family_;
  known = opened;
  return opened;
}

}  // namespace penstock::ingest::hdf5
