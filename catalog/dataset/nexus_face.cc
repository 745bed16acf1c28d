// The header of the contiguous data.nxs.
//
// HDF5 itself writes it, into a file in memory that is as long as the face but holds nothing of the
// payload. The frames must be the last object of the file, and their place must follow from the
// tree alone (the size of the face is asked for much more often than its bytes): they are allocated
// in a second session, when everything else is in the file, by writing one element with an
// alignment of the whole header.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "catalog/dataset/hdf5_value.h"
#include "catalog/dataset/nexus_tree_writer.h"
#include "catalog/dataset/small_arrays.h"
#include "penstock/dataset/faces.h"

namespace penstock {

namespace {

// What HDF5 needs at most for each kind of node, with the fragments that it leaves; its data and
// its name come on top.
constexpr uint64_t kFileCost = 65536;
constexpr uint64_t kGroupCost = 4096;
constexpr uint64_t kMemberCost = 1024;
constexpr uint64_t kNameFactor = 8;  // names move to a heap of twice the size while a group grows
constexpr uint64_t kScalarCost = 16;
constexpr uint64_t kStringCost = 128;
// Strings stand in collections of 4096 bytes, longer ones in a collection of their own.
constexpr uint64_t kLongString = 1024;
constexpr uint64_t kLongStringCost = 4096 + 1024;
constexpr size_t kLargestElement = 16;
constexpr size_t kCopyBytes = size_t{1} << 20;
// An attribute is one message of its object, which has at most 64 KiB in this kind of file.
constexpr uint64_t kLargestAttribute = 60000;

class TreeMeasure {
 public:
  explicit TreeMeasure(const DatasetShape& shape) : shape_(shape) {}

  Result<uint64_t> Measure(const Json& tree) {
    bytes_ = kFileCost;
    PENSTOCK_RETURN_IF_ERROR(AddGroup(tree));
    if (payloads_ != 1) {
      return Error::Corrupt("the sidecar does not say where the frames belong")
          .Expected("one link to the blocks")
          .Found(std::to_string(payloads_));
    }
    const uint64_t rounded =
        (bytes_ + kNexusFaceAlignment - 1) / kNexusFaceAlignment * kNexusFaceAlignment;
    if (rounded <= kLargestNexusFaceHeader) return rounded;
    return TooLarge();
  }

 private:
  static Error TooLarge() {
    return Error::Unsupported("the metadata is too large for one contiguous HDF5 file")
        .Expected("at most " + std::to_string(kLargestNexusFaceHeader) + " bytes");
  }

  Status AddGroup(const Json& members) {
    bytes_ += kGroupCost;
    for (const auto& [name, value] : members.items()) {
      bytes_ += kMemberCost + kNameFactor * name.size();
      if (name.find('@') != std::string::npos) {
        if (CountOf(value) * kScalarCost + name.size() > kLargestAttribute) return TooLarge();
        AddValue(value);
      } else if (name.starts_with('>')) {
        PENSTOCK_RETURN_IF_ERROR(AddLink(name.substr(1), value));
      } else if (value.is_object()) {
        PENSTOCK_RETURN_IF_ERROR(AddGroup(value));
      } else {
        AddValue(value);
      }
    }
    return {};
  }

  static uint64_t CountOf(const Json& value) {
    if (!value.is_array()) return 1;
    uint64_t count = 0;
    for (const Json& element : value) count += CountOf(element);
    return count;
  }

  void AddValue(const Json& value) {
    if (value.is_array()) {
      for (const Json& element : value) AddValue(element);
    } else if (value.is_string()) {
      const size_t size = value.get_ref<const std::string&>().size();
      bytes_ += kStringCost + 2 * size + (size > kLongString ? kLongStringCost : 0);
    } else {
      bytes_ += kScalarCost;
    }
  }

  Status AddLink(const std::string& name, const Json& json) {
    if (json.is_string()) {
      AddValue(json);
      return {};
    }
    PENSTOCK_ASSIGN_OR_RETURN(const ArrayLink link, ArrayLink::From(name, json));
    if (link.is_virtual) {
      ++payloads_;
      const std::vector<int64_t> extents = AxisExtents(shape_);
      if (link.type == shape_.element_type &&
          std::equal(link.extents.begin(), link.extents.end(), extents.begin(), extents.end(),
                     [](hsize_t a, int64_t b) { return a == static_cast<hsize_t>(b); })) {
        return {};
      }
      return Error::Corrupt("the link to the blocks has another shape than the dataset")
          .At(">" + name);
    }
    if (link.bytes > kLargestNexusFaceHeader) return TooLarge();
    bytes_ += link.bytes;
    return {};
  }

  const DatasetShape& shape_;
  uint64_t bytes_ = 0;
  int payloads_ = 0;
};

// A file in memory. With a name as long as this object lives, which HDF5 needs; that is why it
// cannot be one of memfd_create from the beginning.
class FileInMemory {
 public:
  static Result<FileInMemory> Create() {
    // A file there may be as long as any payload; an ordinary one, the next best, up to 16 TiB.
    std::error_code code;
    std::filesystem::path folder = "/dev/shm";
    if (!std::filesystem::is_directory(folder, code)) {
      folder = std::filesystem::temp_directory_path(code);
    }
    FileInMemory file;
    file.path_ = (folder / "penstock-data.nxs-XXXXXX").string();
    file.fd_ = FileDescriptor(mkostemp(file.path_.data(), O_CLOEXEC));
    if (file.fd_.valid()) return file;
    return Error::FromErrno(errno, "cannot make a file in memory").In(folder.string());
  }
  ~FileInMemory() {
    if (fd_.valid()) unlink(path_.c_str());
  }
  FileInMemory(FileInMemory&&) = default;
  FileInMemory& operator=(FileInMemory&&) = delete;
  FileInMemory(const FileInMemory&) = delete;
  FileInMemory& operator=(const FileInMemory&) = delete;

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  // The first `bytes` as a file without a name, which takes memory for what is not zero. /dev/shm
  // of a container may be too small for the arrays that are to come.
  Result<FileDescriptor> CopyWithoutName(uint64_t bytes) const {
    FileDescriptor copy(memfd_create("penstock-data.nxs", MFD_CLOEXEC));
    if (!copy.valid() || ftruncate(copy.get(), static_cast<off_t>(bytes)) != 0) {
      return Error::FromErrno(errno, "cannot make a file in memory");
    }
    std::vector<std::byte> buffer(kCopyBytes);
    const auto end = static_cast<off_t>(bytes);
    off_t data = lseek(fd_.get(), 0, SEEK_DATA);
    while (data >= 0 && data < end) {
      const off_t hole = std::min(lseek(fd_.get(), data, SEEK_HOLE), end);
      if (hole <= data) break;
      const auto part =
          std::span(buffer).first(std::min(buffer.size(), static_cast<size_t>(hole - data)));
      const auto offset = static_cast<uint64_t>(data);
      PENSTOCK_RETURN_IF_ERROR(ReadFully(fd_.get(), offset, part, path_));
      PENSTOCK_RETURN_IF_ERROR(WriteFully(copy.get(), offset, part, kNexusFaceName));
      data = lseek(fd_.get(), data + static_cast<off_t>(part.size()), SEEK_DATA);
    }
    return copy;
  }

 private:
  FileInMemory() = default;

  FileDescriptor fd_;
  std::string path_;
};

class ContiguousFileWriter final : public NexusTreeWriter {
 public:
  ContiguousFileWriter() : NexusTreeWriter(kNexusFaceName) {}

  // Leaves `path` with everything but the frames behind; `payload_start` is where they belong.
  Status Write(const std::string& path, const Json& tree, uint64_t payload_start) {
    PENSTOCK_RETURN_IF_ERROR(WriteMetadata(path, tree));
    return AllocatePayload(path, payload_start);
  }

  std::vector<EmbeddedArray> TakeArrays() { return std::move(arrays_); }

 private:
  static Hdf5Handle Access() {
    Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_EARLIEST, H5F_LIBVER_V110);
    H5Pset_file_locking(access.get(), false, true);
    return access;
  }

  Status WriteMetadata(const std::string& path, const Json& tree) {
    const Hdf5Handle access = Access();
    const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
    H5Pset_obj_track_times(creation.get(), false);
    Hdf5Handle hdf5(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose);
    if (!hdf5.valid()) return Failed("cannot make the header");
    PENSTOCK_RETURN_IF_ERROR(WriteMembers(hdf5.get(), tree));
    if (H5Fflush(hdf5.get(), H5F_SCOPE_GLOBAL) < 0 || !hdf5.Reset()) {
      return Failed("cannot write the header");
    }
    return {};
  }

  Status AllocatePayload(const std::string& path, uint64_t payload_start) {
    const Hdf5Handle access = Access();
    H5Pset_alignment(access.get(), 1, payload_start);
    Hdf5Handle hdf5(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), H5Fclose);
    if (!hdf5.valid()) return Failed("cannot open the header");
    Hdf5Handle dataset(H5Dopen2(hdf5.get(), payload_.c_str(), H5P_DEFAULT), H5Dclose);
    const Hdf5Handle type(H5Dget_type(dataset.get()), H5Tclose);
    const Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
    const Hdf5Handle one(H5Screate(H5S_SCALAR), H5Sclose);
    const std::vector<hsize_t> start(static_cast<size_t>(H5Sget_simple_extent_ndims(space.get())));
    const std::vector<hsize_t> count(start.size(), 1);
    const std::array<std::byte, kLargestElement> zero{};
    if (H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(),
                            nullptr) < 0 ||
        H5Dwrite(dataset.get(), type.get(), one.get(), space.get(), H5P_DEFAULT, zero.data()) < 0) {
      return Failed("cannot allocate the frames", payload_);
    }
    const haddr_t offset = H5Dget_offset(dataset.get());
    if (!dataset.Reset() || !hdf5.Reset()) return Failed("cannot write the header");
    if (offset == payload_start) return {};
    return Error::Internal("the frames are not where they belong")
        .In(file())
        .Expected(std::to_string(payload_start))
        .Found(std::to_string(offset));
  }

  Status WriteBlocks(hid_t group, const std::string& name, const ArrayLink& link,
                     const Json& /*json*/) override {
    const Hdf5Handle creation = DatasetCreation();
    H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
    H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_LATE);
    H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
    PENSTOCK_ASSIGN_OR_RETURN(const Hdf5Handle dataset, Create(group, name, link, creation));
    const ssize_t length = H5Iget_name(dataset.get(), nullptr, 0);
    if (length <= 0) return Failed("cannot name the frames", name);
    payload_.resize(static_cast<size_t>(length));
    H5Iget_name(dataset.get(), payload_.data(), payload_.size() + 1);
    return {};
  }

  // Its place only; the bytes are put in by who has them, without HDF5 and its lock.
  Status WriteArray(hid_t group, const std::string& name, const ArrayLink& link) override {
    const Hdf5Handle creation = DatasetCreation();
    H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
    H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
    PENSTOCK_ASSIGN_OR_RETURN(const Hdf5Handle dataset, Create(group, name, link, creation));
    const haddr_t offset = H5Dget_offset(dataset.get());
    if (offset == HADDR_UNDEF) return Failed("an array has no place", name);
    arrays_.push_back({.path = link.path, .header_offset = offset, .bytes = link.bytes});
    return {};
  }

  Result<Hdf5Handle> Create(hid_t group, const std::string& name, const ArrayLink& link,
                            const Hdf5Handle& creation) {
    const Hdf5Handle space = Space(link.extents);
    const Hdf5Handle type = Hdf5ElementType(link.type);
    Hdf5Handle dataset(H5Dcreate2(group, name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose);
    if (!dataset.valid()) return Failed("cannot create a field", name);
    return dataset;
  }

  std::string payload_;
  std::vector<EmbeddedArray> arrays_;
};

}  // namespace

Result<uint64_t> NexusFaceHeaderBytes(const Json& tree, const DatasetShape& shape) {
  return TreeMeasure(shape).Measure(tree);
}

Result<NexusFaceHeader> MakeNexusFaceHeader(const Json& tree, const DatasetShape& shape) {
  PENSTOCK_ASSIGN_OR_RETURN(const uint64_t header_bytes, NexusFaceHeaderBytes(tree, shape));
  PENSTOCK_ASSIGN_OR_RETURN(FileInMemory file, FileInMemory::Create());
  NexusFaceHeader header;
  {
    const Hdf5Session session;
    ContiguousFileWriter writer;
    PENSTOCK_RETURN_IF_ERROR(writer.Write(file.path(), tree, header_bytes));
    header.arrays = writer.TakeArrays();
  }
  struct stat status {};
  if (fstat(file.fd(), &status) != 0) return Error::FromErrno(errno, "cannot stat the header");
  const uint64_t expected = header_bytes + shape.payload_bytes();
  if (static_cast<uint64_t>(status.st_size) != expected) {
    return Error::Internal("the frames are not the last object of the file")
        .In(kNexusFaceName)
        .Expected(std::to_string(expected) + " bytes")
        .Found(std::to_string(status.st_size));
  }
  // Cut off is what is left of the element that was written.
  PENSTOCK_ASSIGN_OR_RETURN(header.file, file.CopyWithoutName(header_bytes));
  return header;
}

}  // namespace penstock
