#include "ingest/formats/hdf5/array.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock::ingest::hdf5 {

namespace {

constexpr size_t kMaxRank = 8;
constexpr uint64_t kMaxElements = uint64_t{1} << 50;
// Chunk tables up to this many entries need no backing by the size of the file.
constexpr uint64_t kFreeChunks = uint64_t{1} << 20;
// Up to this many chunks may be asked of the library one by one, which takes quadratic time.
constexpr uint64_t kQuadraticChunks = 4096;

Error NotPixels(const Object& object, std::string found) {
  return Error::Unsupported("the dataset holds no plain numbers")
      .In(object.container()->path().string())
      .At(object.path())
      .Expected("integers of 8 to 64 bits, or floating point numbers of 32 or 64")
      .Found(std::move(found));
}

hid_t NativeType(ElementType type) {
  switch (type) {
    case ElementType::kUint8:
      return H5T_NATIVE_UINT8;
    case ElementType::kInt8:
      return H5T_NATIVE_INT8;
    case ElementType::kUint16:
      return H5T_NATIVE_UINT16;
    case ElementType::kInt16:
      return H5T_NATIVE_INT16;
    case ElementType::kUint32:
      return H5T_NATIVE_UINT32;
    case ElementType::kInt32:
      return H5T_NATIVE_INT32;
    case ElementType::kUint64:
      return H5T_NATIVE_UINT64;
    case ElementType::kInt64:
      return H5T_NATIVE_INT64;
    case ElementType::kFloat32:
      return H5T_NATIVE_FLOAT;
    default:
      return H5T_NATIVE_DOUBLE;
  }
}

class Opener {
 public:
  explicit Opener(Object object) : object_(std::move(object)) {}

  Result<Array> Open() {
    const Hdf5Session session;
    array_.container = object_.container();
    array_.path = object_.path();
    PENSTOCK_RETURN_IF_ERROR(ReadShape());
    PENSTOCK_ASSIGN_OR_RETURN(array_.type, ArrayElementType(object_));
    properties_ = Hdf5Handle(H5Dget_create_plist(object_.id()), H5Pclose);
    type_ = Hdf5Handle(H5Dget_type(object_.id()), H5Tclose);
    if (!properties_.valid() || !type_.valid()) return Damaged("its properties cannot be read");
    array_.big_endian = ElementSize(array_.type) > 1 && H5Tget_order(type_.get()) == H5T_ORDER_BE;
    ReadFill();
    if (H5Pget_external_count(properties_.get()) != 0) return StoredOutside();
    switch (H5Pget_layout(properties_.get())) {
      case H5D_CONTIGUOUS:
        PENSTOCK_RETURN_IF_ERROR(OpenContiguous());
        break;
      case H5D_CHUNKED:
        PENSTOCK_RETURN_IF_ERROR(OpenChunked());
        break;
      case H5D_COMPACT:
        array_.storage = Storage::kLibrary;
        break;
      case H5D_VIRTUAL:
        PENSTOCK_RETURN_IF_ERROR(CheckVirtual());
        array_.storage = Storage::kLibrary;
        break;
      default:
        return Damaged("its layout is not known");
    }
    if (!IsPlainNumber() && array_.storage != Storage::kLibrary) {
      array_.storage = Storage::kLibrary;
      array_.filters.clear();
    }
    if (array_.storage == Storage::kLibrary) {
      array_.big_endian = false;  // the library converts
      array_.chunks.clear();
      if (array_.chunk.empty()) ChooseLibraryChunk();
    }
    if (array_.needs_library()) array_.object = std::move(object_);
    return std::move(array_);
  }

 private:
  Error Damaged(std::string what) const {
    return Error::Corrupt("the dataset is damaged: " + what)
        .In(object_.container()->path().string())
        .At(object_.path());
  }

  Status ReadShape() {
    const Hdf5Handle space(H5Dget_space(object_.id()), H5Sclose);
    const int rank = space.valid() ? H5Sget_simple_extent_ndims(space.get()) : -1;
    if (rank < 1 || static_cast<size_t>(rank) > kMaxRank) {
      return Error::Unsupported("not an array of frames")
          .In(object_.container()->path().string())
          .At(object_.path())
          .Expected(fmt::format("2 to {} axes", kMaxRank))
          .Found(fmt::format("{}", std::max(rank, 0)));
    }
    array_.shape = object_.Shape();
    std::vector<hsize_t> most(array_.shape.size());
    H5Sget_simple_extent_dims(space.get(), nullptr, most.data());
    max_shape_.assign(most.begin(), most.end());
    uint64_t elements = 1;
    for (const uint64_t size : array_.shape) {
      if (size == 0) {
        return Error::Corrupt("the dataset is empty")
            .In(object_.container()->path().string())
            .At(object_.path())
            .Expected("axes of at least 1")
            .Found("shape " + ShapeText(array_.shape))
            .Advice("check whether the acquisition was written to the end");
      }
      if (size > kMaxElements / elements) return Damaged("shape " + ShapeText(array_.shape));
      elements *= size;
    }
    return Status::Ok();
  }

  // Stored as the machine's own number but for the byte order.
  bool IsPlainNumber() const {
    if (H5Tget_class(type_.get()) == H5T_FLOAT) {
      return H5Tequal(type_.get(),
                      array_.type == ElementType::kFloat32 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE) > 0 ||
             H5Tequal(type_.get(),
                      array_.type == ElementType::kFloat32 ? H5T_IEEE_F32BE : H5T_IEEE_F64BE) > 0;
    }
    if (H5Tget_class(type_.get()) == H5T_ENUM) return true;
    const H5T_order_t order = H5Tget_order(type_.get());
    return H5Tget_precision(type_.get()) == 8 * H5Tget_size(type_.get()) &&
           H5Tget_offset(type_.get()) == 0 &&
           (order == H5T_ORDER_LE || order == H5T_ORDER_BE || ElementSize(array_.type) == 1);
  }

  void ReadFill() {
    array_.fill.assign(ElementSize(array_.type), std::byte{0});
    H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
    if (H5Pfill_value_defined(properties_.get(), &defined) >= 0 &&
        defined == H5D_FILL_VALUE_USER_DEFINED) {
      H5Pget_fill_value(properties_.get(), NativeType(array_.type), array_.fill.data());
    }
  }

  Error StoredOutside() const {
    std::vector<char> name(4096, '\0');
    off_t offset = 0;
    hsize_t size = 0;
    H5Pget_external(properties_.get(), 0, name.size() - 1, name.data(), &offset, &size);
    return Error::Unsupported("the pixels are not in the HDF5 file but in a raw file that it names")
        .In(object_.container()->path().string())
        .At(object_.path())
        .Found(fmt::format("'{}' from byte {}", name.data(), offset))
        .Advice("ingest that file with --format raw, --sig-shape and --dtype");
  }

  Status OpenContiguous() {
    array_.storage = Storage::kContiguous;
    const haddr_t address = H5Dget_offset(object_.id());
    const uint64_t bytes = Elements() * ElementSize(array_.type);
    if (address == HADDR_UNDEF) {
      return Error::Corrupt("the dataset was never written")
          .In(object_.container()->path().string())
          .At(object_.path())
          .Expected(fmt::format("{} bytes of elements", bytes))
          .Found("no storage")
          .Advice("check whether the acquisition was written to the end");
    }
    array_.offset = address;
    const uint64_t size = object_.container()->identity().size;
    if (address > size || bytes > size - address) {
      return Error::Corrupt("the dataset ends behind the end of the file")
          .In(object_.container()->path().string())
          .At(object_.path())
          .Expected(fmt::format("{} bytes from byte {}", bytes, address))
          .Found(fmt::format("a file of {}", size))
          .Advice("copy the file again from where it was recorded");
    }
    return Status::Ok();
  }

  uint64_t Elements() const {
    uint64_t elements = 1;
    for (const uint64_t size : array_.shape) elements *= size;
    return elements;
  }

  Status OpenChunked() {
    const size_t rank = array_.shape.size();
    std::vector<hsize_t> chunk(rank);
    if (H5Pget_chunk(properties_.get(), static_cast<int>(rank), chunk.data()) !=
        static_cast<int>(rank)) {
      return Damaged("its chunks have another number of axes");
    }
    uint64_t count = 1;
    uint64_t elements = 1;
    for (size_t axis = 0; axis < rank; ++axis) {
      if (chunk[axis] == 0 || chunk[axis] > UINT32_MAX / elements)
        return Damaged("its chunk shape");
      elements *= chunk[axis];
      array_.chunk.push_back(chunk[axis]);
      array_.grid.push_back((array_.shape[axis] + chunk[axis] - 1) / chunk[axis]);
      count *= array_.grid.back();  // below the number of elements
    }
    ReadFilters();
    const FilterSupport support = SupportOf(array_.filters);
    if (support == FilterSupport::kNone) {
      return UnknownFilter(array_.filters)
          .In(object_.container()->path().string())
          .At(object_.path());
    }
    hsize_t written = 0;
    {
      const Hdf5Handle space(H5Dget_space(object_.id()), H5Sclose);
      if (H5Dget_num_chunks(object_.id(), space.get(), &written) < 0) {
        return Damaged("the index of its chunks cannot be read");
      }
    }
    if (written == 0) {
      return Error::Corrupt("no chunk of the dataset was ever written")
          .In(object_.container()->path().string())
          .At(object_.path())
          .Expected(fmt::format("{} chunks", count))
          .Found("none")
          .Advice("check whether the acquisition was written to the end");
    }
    array_.missing_chunks = written < count ? count - written : 0;
    const uint64_t size = object_.container()->identity().size;
    if (count > kFreeChunks && count > size / 8) {
      return Error::Corrupt("the dataset cannot have that many chunks")
          .In(object_.container()->path().string())
          .At(object_.path())
          .Expected(fmt::format("{} for shape {} in chunks of {}", count, ShapeText(array_.shape),
                                ShapeText(array_.chunk)))
          .Found(fmt::format("a file of {} bytes", size));
    }
    array_.storage = Storage::kLibrary;
    if (support == FilterSupport::kLibrary) return Status::Ok();
    array_.storage = Storage::kChunks;
    if (ReadIndex(count, written)) return CheckExpansion();
    array_.chunks.clear();
    array_.storage = Storage::kChunksLibrary;
    return Status::Ok();
  }

  // No decoder shall be asked for memory that a few bytes in the file claim.
  Status CheckExpansion() const {
    constexpr uint64_t kFreeBytes = uint64_t{64} << 20;
    constexpr uint64_t kMostExpansion = 1 << 15;
    uint64_t largest = 0;
    for (const StoredChunk& chunk : array_.chunks) {
      largest = std::max<uint64_t>(largest, chunk.bytes);
    }
    if (array_.chunk_bytes() <= std::max(kFreeBytes, largest * kMostExpansion)) return Status::Ok();
    return Error::Corrupt("the chunks cannot be as large as the dataset says")
        .In(object_.container()->path().string())
        .At(object_.path())
        .Expected(
            fmt::format("{} bytes for chunks of {}", array_.chunk_bytes(), ShapeText(array_.chunk)))
        .Found(fmt::format("at most {} stored", largest));
  }

  void ReadFilters() {
    const int count = H5Pget_nfilters(properties_.get());
    for (int i = 0; i < count && i < 32; ++i) {
      Filter filter;
      unsigned flags = 0;
      std::vector<unsigned> parameters(64);
      size_t parameter_count = parameters.size();
      std::vector<char> name(256, '\0');
      unsigned configuration = 0;
      filter.id =
          H5Pget_filter2(properties_.get(), static_cast<unsigned>(i), &flags, &parameter_count,
                         parameters.data(), name.size() - 1, name.data(), &configuration);
      parameters.resize(std::min(parameter_count, parameters.size()));
      filter.parameters.assign(parameters.begin(), parameters.end());
      filter.name = name.data();
      array_.filters.push_back(std::move(filter));
    }
  }

  bool ReadIndex(uint64_t count, uint64_t written) {
    ChunkIndexRequest request;
    const Container& container = *object_.container();
    request.fd = container.fd();
    request.path = container.path();
    request.file_bytes = container.identity().size;
    request.base = container.base_address();
    request.object_header = object_.key().address;
    const Hdf5Handle creation(H5Fget_create_plist(container.id()), H5Pclose);
    H5Pget_sizes(creation.get(), &request.address_bytes, &request.length_bytes);
    request.max_shape = max_shape_;
    request.chunk = array_.chunk;
    request.grid = array_.grid;
    request.chunk_bytes = array_.chunk_bytes();
    request.filtered = !array_.filters.empty();
    if (ReadChunkIndex(request, array_.chunks) && Agrees(written)) return true;
    if (count > kQuadraticChunks || container.base_address() != 0) return false;
    return AskLibrary(count, written);
  }

  // Our reading of the index against the library's, by number and by a probe of the first chunk.
  bool Agrees(uint64_t written) const {
    const auto found =
        static_cast<uint64_t>(std::ranges::count_if(array_.chunks, [](const StoredChunk& chunk) {
          return chunk.offset != StoredChunk::kNone;
        }));
    if (found != written) return false;
    std::vector<hsize_t> origin(array_.shape.size());
    unsigned mask = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    const Hdf5Handle space(H5Dget_space(object_.id()), H5Sclose);
    if (H5Dget_chunk_info(object_.id(), space.get(), 0, origin.data(), &mask, &address, &bytes) <
        0) {
      return false;
    }
    const StoredChunk& chunk = array_.chunks[IndexOf(origin)];
    const uint64_t base = object_.container()->base_address();
    return chunk.bytes == bytes && chunk.mask == mask &&
           (chunk.offset == address || chunk.offset == address + base);
  }

  uint64_t IndexOf(const std::vector<hsize_t>& origin) const {
    uint64_t index = 0;
    for (size_t axis = 0; axis < origin.size(); ++axis) {
      index = index * array_.grid[axis] +
              std::min<uint64_t>(origin[axis] / array_.chunk[axis], array_.grid[axis] - 1);
    }
    return index;
  }

  bool AskLibrary(uint64_t count, uint64_t written) {
    const Hdf5Handle space(H5Dget_space(object_.id()), H5Sclose);
    const uint64_t size = object_.container()->identity().size;
    array_.chunks.assign(count, {});
    std::vector<hsize_t> origin(array_.shape.size());
    for (uint64_t i = 0; i < written; ++i) {
      unsigned mask = 0;
      haddr_t address = HADDR_UNDEF;
      hsize_t bytes = 0;
      if (H5Dget_chunk_info(object_.id(), space.get(), i, origin.data(), &mask, &address, &bytes) <
              0 ||
          address > size || bytes > size - address || bytes > UINT32_MAX) {
        return false;
      }
      array_.chunks[IndexOf(origin)] = {address, static_cast<uint32_t>(bytes), mask};
    }
    return true;
  }

  // The library would open whatever a virtual dataset names, and give fill values for what is not
  // there.
  Status CheckVirtual() {
    PENSTOCK_ASSIGN_OR_RETURN(const VirtualLayout layout, ReadVirtualLayout(object_));
    for (const VirtualPart& part : layout.parts) {
      if (part.file == ".") {
        PENSTOCK_ASSIGN_OR_RETURN(const Object source, object_.Get("/" + part.path));
        PENSTOCK_RETURN_IF_ERROR(CheckLibraryReads(source));
        continue;
      }
      const std::filesystem::path named(part.file);
      if (named.is_absolute()) {
        return Error::Unsupported("a virtual dataset names a file by its absolute path")
            .In(object_.container()->path().string())
            .At(object_.path())
            .Found(part.file);
      }
      PENSTOCK_ASSIGN_OR_RETURN(const auto other, object_.container()->OpenNeighbour(part.file));
      PENSTOCK_ASSIGN_OR_RETURN(const Object root, Object::Root(other));
      PENSTOCK_ASSIGN_OR_RETURN(const Object source, root.Get("/" + part.path));
      PENSTOCK_RETURN_IF_ERROR(CheckLibraryReads(source));
    }
    return Status::Ok();
  }

  // The library itself has few filters.
  Status CheckLibraryReads(const Object& source) const {
    if (!source.is_dataset()) return Status::Ok();
    const Hdf5Handle properties(H5Dget_create_plist(source.id()), H5Pclose);
    const int count = H5Pget_nfilters(properties.get());
    for (int i = 0; i < count; ++i) {
      unsigned flags = 0;
      size_t parameters = 0;
      unsigned configuration = 0;
      const H5Z_filter_t id = H5Pget_filter2(properties.get(), static_cast<unsigned>(i), &flags,
                                             &parameters, nullptr, 0, nullptr, &configuration);
      if (H5Zfilter_avail(id) > 0) continue;
      return Error::Unsupported(
                 "a virtual dataset whose parts are not whole frames, of compressed sources")
          .In(object_.container()->path().string())
          .At(object_.path())
          .Expected("parts along the first axis, or sources with deflate, shuffle, fletcher32")
          .Found(FilterName({.id = id, .parameters = {}, .name = ""}) + " in " + source.Place())
          .Advice("ingest the source files themselves");
    }
    return Status::Ok();
  }

  // About 4 MiB of whole trailing axes.
  void ChooseLibraryChunk() {
    uint64_t bytes = ElementSize(array_.type);
    array_.chunk.assign(array_.shape.size(), 1);
    for (size_t axis = array_.shape.size(); axis-- > 0;) {
      const uint64_t most = std::max<uint64_t>(1, (uint64_t{4} << 20) / bytes);
      array_.chunk[axis] = std::min(array_.shape[axis], most);
      bytes *= array_.chunk[axis];
      if (array_.chunk[axis] < array_.shape[axis]) break;
    }
    for (size_t axis = 0; axis < array_.shape.size(); ++axis) {
      array_.grid.push_back((array_.shape[axis] + array_.chunk[axis] - 1) / array_.chunk[axis]);
    }
  }

  Object object_;
  Array array_;
  std::vector<uint64_t> max_shape_;
  Hdf5Handle properties_;
  Hdf5Handle type_;
};

}  // namespace

uint64_t Array::chunk_bytes() const {
  uint64_t bytes = element_bytes();
  for (const uint64_t size : chunk) bytes *= size;
  return bytes;
}

Result<ElementType> ArrayElementType(const Object& object) {
  const Hdf5Session session;
  const Hdf5Handle type(H5Dget_type(object.id()), H5Tclose);
  const H5T_class_t type_class = H5Tget_class(type.get());
  const size_t size = H5Tget_size(type.get());
  if (type_class == H5T_ENUM && size == 1) return ElementType::kUint8;
  if (type_class == H5T_FLOAT && size == 4) return ElementType::kFloat32;
  if (type_class == H5T_FLOAT && size == 8) return ElementType::kFloat64;
  if (type_class == H5T_INTEGER) {
    const bool is_signed = H5Tget_sign(type.get()) != H5T_SGN_NONE;
    switch (size) {
      case 1:
        return is_signed ? ElementType::kInt8 : ElementType::kUint8;
      case 2:
        return is_signed ? ElementType::kInt16 : ElementType::kUint16;
      case 4:
        return is_signed ? ElementType::kInt32 : ElementType::kUint32;
      case 8:
        return is_signed ? ElementType::kInt64 : ElementType::kUint64;
      default:
        break;
    }
  }
  return NotPixels(object, object.TypeText());
}

Result<VirtualLayout> ReadVirtualLayout(const Object& object) {
  const Hdf5Session session;
  VirtualLayout layout;
  if (!object.is_dataset()) return layout;
  const Hdf5Handle properties(H5Dget_create_plist(object.id()), H5Pclose);
  if (H5Pget_layout(properties.get()) != H5D_VIRTUAL) return layout;
  layout.is_virtual = true;
  layout.shape = object.Shape();
  const size_t rank = layout.shape.size();
  size_t count = 0;
  if (rank == 0 || H5Pget_virtual_count(properties.get(), &count) < 0 || count > 1000000) {
    return Error::Corrupt("the virtual dataset cannot be read")
        .In(object.container()->path().string())
        .At(object.path());
  }
  layout.simple = count > 0;
  // Whole in every axis but the first: first and count along it.
  const auto slab = [&](hid_t space, const std::vector<uint64_t>& shape, uint64_t& first,
                        uint64_t& length) {
    if (H5Sget_select_type(space) == H5S_SEL_ALL) {
      first = 0;
      length = shape[0];
      return true;
    }
    if (H5Sget_select_type(space) != H5S_SEL_HYPERSLABS ||
        H5Sget_select_hyper_nblocks(space) != 1) {
      return false;
    }
    std::vector<hsize_t> low(rank);
    std::vector<hsize_t> high(rank);
    if (H5Sget_select_bounds(space, low.data(), high.data()) < 0) return false;
    for (size_t axis = 1; axis < rank; ++axis) {
      if (low[axis] != 0 || high[axis] + 1 != shape[axis]) return false;
    }
    first = low[0];
    length = high[0] - low[0] + 1;
    return true;
  };
  for (size_t i = 0; i < count; ++i) {
    VirtualPart part;
    std::vector<char> text(8192, '\0');
    if (H5Pget_virtual_filename(properties.get(), i, text.data(), text.size() - 1) < 0) {
      layout.simple = false;
      continue;
    }
    part.file = text.data();
    if (H5Pget_virtual_dsetname(properties.get(), i, text.data(), text.size() - 1) < 0) {
      layout.simple = false;
      continue;
    }
    part.path = text.data();
    const Hdf5Handle to(H5Pget_virtual_vspace(properties.get(), i), H5Sclose);
    const Hdf5Handle from(H5Pget_virtual_srcspace(properties.get(), i), H5Sclose);
    // A source that is taken as a whole may be stored without its shape; who opens it compares.
    uint64_t source_count = 0;
    bool whole_axes = true;
    if (H5Sget_select_type(from.get()) != H5S_SEL_ALL) {
      std::vector<hsize_t> source(H5S_MAX_RANK);
      const bool same_rank = H5Sget_simple_extent_ndims(from.get()) == static_cast<int>(rank);
      if (same_rank) H5Sget_simple_extent_dims(from.get(), source.data(), nullptr);
      const std::vector<uint64_t> shape(source.begin(),
                                        source.begin() + static_cast<ptrdiff_t>(rank));
      whole_axes = same_rank && slab(from.get(), shape, part.source_first, source_count) &&
                   std::equal(shape.begin() + 1, shape.end(), layout.shape.begin() + 1);
    }
    if (!whole_axes || !slab(to.get(), layout.shape, part.first, part.count)) {
      layout.simple = false;
    } else if (source_count != 0 && source_count != part.count) {
      layout.simple = false;
    }
    layout.parts.push_back(std::move(part));
  }
  std::ranges::sort(layout.parts, {}, &VirtualPart::first);
  return layout;
}

Result<Array> OpenArray(Object object) { return Opener(std::move(object)).Open(); }

}  // namespace penstock::ingest::hdf5
