#include "ingest/formats/zarr/array_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ingest/formats/chunked/json_values.h"
#include "ingest/formats/zarr/fill_value.h"
#include "ingest/formats/zarr/metadata_json.h"

namespace penstock::ingest::zarr {

namespace {

using chunked::AsText;
using chunked::ShapeText;

constexpr size_t kMaxRank = 8;
constexpr uint64_t kMaxElements = uint64_t{1} << 50;
constexpr size_t kMaxCodecs = 16;
constexpr const char* kRewrite = "write the array again with codecs that are read here";

struct KnownCodec {
  const char* name;
  Codec codec;
};
constexpr std::array<KnownCodec, 6> kCodecs = {{{"zlib", Codec::kZlib},
                                                {"gzip", Codec::kGzip},
                                                {"zstd", Codec::kZstd},
                                                {"lz4", Codec::kLz4},
                                                {"blosc", Codec::kBlosc},
                                                {"crc32c", Codec::kCrc32c}}};

// A codec is an object with a name, or the name alone; zarr-python writes those of numcodecs with
// a prefix.
std::string CodecName(const Json& codec) {
  std::string name = AsText(codec.is_object() ? Member(codec, "name") : codec).value_or("");
  constexpr std::string_view kPrefix = "numcodecs.";
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

std::optional<ElementType> FromVersion3(const std::string& name) {
  if (name == "bool") return ElementType::kUint8;
  if (name == "float16") return std::nullopt;
  for (int i = 0; i <= static_cast<int>(ElementType::kComplex128); ++i) {
    if (ZarrDataType(static_cast<ElementType>(i)) == name) return static_cast<ElementType>(i);
  }
  return std::nullopt;
}

// "<u2", "|b1", ">f4".
std::optional<ElementType> FromVersion2(const std::string& dtype) {
  if (dtype.size() < 3 || std::string_view("<>|").find(dtype[0]) == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string kind = dtype.substr(1);
  if (kind == "b1") return ElementType::kUint8;
  for (int i = 0; i <= static_cast<int>(ElementType::kComplex128); ++i) {
    const auto type = static_cast<ElementType>(i);
    if (NumpyTypeString(type).substr(1) != kind) continue;
    if (dtype[0] == '|' && ElementSize(type) > 1) return std::nullopt;
    return type;
  }
  return std::nullopt;
}

class MetadataReader {
 public:
  explicit MetadataReader(const Node& array) : array_(array), json_(array.metadata()) {}

  Result<ArrayMetadata> Read() {
    if (array_.is_group()) return Error::Internal("a group is no array").In(array_.Place());
    const auto type = PixelType(array_);
    if (!type) {
      return Refuse("the array's type cannot be that of pixels")
          .Expected("integers, float32, float64, complex64, complex128 or bool")
          .Found(TypeText(array_))
          .Advice("convert it to one of these");
    }
    read_.type = *type;
    PENSTOCK_ASSIGN_OR_RETURN(read_.shape, Axes(Member(json_, "shape"), "shape"));
    PENSTOCK_RETURN_IF_ERROR(array_.version() == 2 ? ReadVersion2() : ReadVersion3());
    PENSTOCK_RETURN_IF_ERROR(CheckChunk(read_.chunk, "chunk shape"));
    if (read_.sharding) PENSTOCK_RETURN_IF_ERROR(CheckShard(*read_.sharding));
    const Json& fill = Member(json_, "fill_value");
    auto bytes = FillBytes(fill, read_.type);
    if (!bytes) {
      return Damaged("fill_value does not fit the type")
          .Expected(std::string(ZarrDataType(read_.type)))
          .Found(ShortText(fill));
    }
    read_.fill = std::move(*bytes);
    read_.fill_stated = !fill.is_null();
    return std::move(read_);
  }

 private:
  Error Say(Error error) const {
    return std::move(error).In(array_.metadata_path().string()).At(array_.path());
  }
  Error Refuse(std::string what) const { return Say(Error::Unsupported(std::move(what))); }
  Error Damaged(std::string what) const { return Say(Error::Corrupt(std::move(what))); }

  Result<std::vector<uint64_t>> Axes(const Json& json, const char* what) const {
    auto axes = Sizes(json);
    if (!axes || axes->empty() || axes->size() > kMaxRank) {
      return Damaged(fmt::format("'{}' makes no sense", what))
          .Expected(fmt::format("1 to {} sizes", kMaxRank))
          .Found(ShortText(json));
    }
    uint64_t elements = 1;
    for (const uint64_t size : *axes) {
      if (size == 0) {
        return Damaged(fmt::format("'{}' has an axis of 0: there is nothing to read", what))
            .Found(ShapeText(*axes));
      }
      if (size > kMaxElements / elements) {
        return Damaged(fmt::format("'{}' makes no sense", what))
            .Expected("at most 2^50 elements")
            .Found(ShapeText(*axes));
      }
      elements *= size;
    }
    return std::move(*axes);
  }

  Status CheckChunk(const std::vector<uint64_t>& chunk, const char* what) const {
    if (chunk.size() == read_.shape.size()) return Status::Ok();
    return Damaged(fmt::format("the {} has another number of axes than the array", what))
        .Expected(fmt::format("{} for {}", read_.shape.size(), ShapeText(read_.shape)))
        .Found(ShapeText(chunk));
  }

  Status CheckShard(Sharding& sharding) const {
    PENSTOCK_RETURN_IF_ERROR(CheckChunk(sharding.shard, "shape of the shards"));
    for (size_t axis = 0; axis < read_.chunk.size(); ++axis) {
      if (sharding.shard[axis] % read_.chunk[axis] != 0) {
        return Damaged("the shards do not consist of whole chunks")
            .Expected("a multiple of " + ShapeText(read_.chunk))
            .Found(ShapeText(sharding.shard));
      }
      sharding.chunks_per_shard *= sharding.shard[axis] / read_.chunk[axis];
    }
    return Status::Ok();
  }

  Status ReadVersion2() {
    PENSTOCK_ASSIGN_OR_RETURN(read_.chunk, Axes(Member(json_, "chunks"), "chunks"));
    read_.big_endian = AsText(Member(json_, "dtype")).value_or("").starts_with('>');
    const std::string order = AsText(Member(json_, "order")).value_or("C");
    if (order != "C" && read_.shape.size() > 1) {
      return Refuse("the chunks are not in C order")
          .Expected("order C")
          .Found("order " + order)
          .Advice("write the array again with order='C'");
    }
    if (const Json& filters = Member(json_, "filters"); !filters.is_null() && !filters.empty()) {
      return Refuse("the array has filters")
          .Expected("none")
          .Found(ShortText(filters))
          .Advice("write the array again without filters; Blosc has a shuffle of its own");
    }
    if (const Json& compressor = Member(json_, "compressor"); !compressor.is_null()) {
      PENSTOCK_RETURN_IF_ERROR(AddCodec(AsText(Member(compressor, "id")).value_or("")));
    }
    const Json& separator = Member(json_, "dimension_separator");
    read_.separator_stated = !separator.is_null();
    return SetSeparator(separator, '.');
  }

  Status SetSeparator(const Json& separator, char by_default) {
    read_.separator = by_default;
    if (separator.is_null()) return Status::Ok();
    const std::string text = AsText(separator).value_or("");
    if (text != "." && text != "/") {
      return Damaged("the separator in the names of chunks makes no sense")
          .Expected("'.' or '/'")
          .Found(ShortText(separator));
    }
    read_.separator = text[0];
    return Status::Ok();
  }

  Status ReadVersion3() {
    const Json& grid = Member(json_, "chunk_grid");
    if (CodecName(grid) != "regular") {
      return Refuse("the chunks are no regular grid")
          .Expected("chunk_grid regular")
          .Found(ShortText(grid))
          .Advice("write the array again with chunks of one shape");
    }
    PENSTOCK_ASSIGN_OR_RETURN(
        read_.chunk, Axes(Member(Member(grid, "configuration"), "chunk_shape"), "chunk_shape"));
    if (const Json& transformers = Member(json_, "storage_transformers");
        !transformers.is_null() && !transformers.empty()) {
      return Refuse("the array has storage transformers")
          .Expected("none")
          .Found(ShortText(transformers))
          .Advice(kRewrite);
    }
    const Json& keys = Member(json_, "chunk_key_encoding");
    const std::string encoding = CodecName(keys);
    if (encoding != "default" && encoding != "v2") {
      return Refuse("the names of chunks are made in an unknown way")
          .Expected("chunk_key_encoding default or v2")
          .Found(ShortText(keys))
          .Advice(kRewrite);
    }
    read_.prefix = encoding == "default" ? "c" : "";
    PENSTOCK_RETURN_IF_ERROR(SetSeparator(Member(Member(keys, "configuration"), "separator"),
                                          encoding == "default" ? '/' : '.'));
    return ReadCodecs(Member(json_, "codecs"), read_.codecs, read_.big_endian, true);
  }

  Status AddCodec(const std::string& name) { return AddCodec(name, read_.codecs); }
  Status AddCodec(const std::string& name, std::vector<Codec>& codecs) const {
    for (const KnownCodec& known : kCodecs) {
      if (name != known.name) continue;
      codecs.push_back(known.codec);
      return Status::Ok();
    }
    return Refuse("the chunks are encoded in a way that is not known here")
        .Expected("zlib, gzip, zstd, lz4, blosc or crc32c")
        .Found("'" + name + "'")
        .Advice(kRewrite);
  }

  // A chain of codecs: from elements to bytes by "bytes", then from bytes to bytes.
  Status ReadCodecs(const Json& chain, std::vector<Codec>& codecs, bool& big_endian,
                    bool may_shard) {
    if (!chain.is_array() || chain.empty() || chain.size() > kMaxCodecs) {
      return Damaged("the codecs make no sense")
          .Expected(fmt::format("a list of 1 to {}", kMaxCodecs))
          .Found(ShortText(chain));
    }
    bool to_bytes = false;
    for (const Json& codec : chain) {
      const std::string name = CodecName(codec);
      const Json& configuration = Member(codec, "configuration");
      if (name == "transpose" && !to_bytes) {
        PENSTOCK_RETURN_IF_ERROR(CheckTranspose(configuration));
      } else if (name == "bytes" && !to_bytes) {
        const std::string endian = AsText(Member(configuration, "endian")).value_or("little");
        if (endian != "little" && endian != "big") {
          return Damaged("the byte order makes no sense")
              .Expected("little or big")
              .Found(ShortText(configuration));
        }
        big_endian = endian == "big";
        to_bytes = true;
      } else if (name == "sharding_indexed" && !to_bytes) {
        PENSTOCK_RETURN_IF_ERROR(ReadSharding(configuration, may_shard && chain.size() == 1));
        to_bytes = true;
      } else if (to_bytes) {
        PENSTOCK_RETURN_IF_ERROR(AddCodec(name, codecs));
      } else {
        return Refuse("the elements are encoded in a way that is not known here")
            .Expected("bytes or sharding_indexed")
            .Found("'" + name + "'")
            .Advice(kRewrite);
      }
    }
    if (to_bytes) return Status::Ok();
    return Damaged("no codec makes bytes of the elements")
        .Expected("bytes or sharding_indexed")
        .Found(ShortText(chain));
  }

  Status CheckTranspose(const Json& configuration) const {
    const Json& order = Member(configuration, "order");
    if (order == "C") return Status::Ok();
    const auto axes = Sizes(order);
    bool identity = axes && axes->size() == read_.shape.size();
    for (size_t i = 0; identity && i < axes->size(); ++i) identity = (*axes)[i] == i;
    if (identity) return Status::Ok();
    return Refuse("the chunks are transposed")
        .Expected("no transpose, or one that changes nothing")
        .Found(ShortText(order))
        .Advice("write the array again in C order");
  }

  Status ReadSharding(const Json& configuration, bool allowed) {
    if (!allowed) {
      return Refuse("shards are encoded once more, or lie within shards")
          .Expected("sharding_indexed as the only codec")
          .Found("others beside it")
          .Advice(kRewrite);
    }
    Sharding sharding;
    sharding.shard = std::move(read_.chunk);
    PENSTOCK_ASSIGN_OR_RETURN(read_.chunk,
                              Axes(Member(configuration, "chunk_shape"), "chunk_shape"));
    const std::string location = AsText(Member(configuration, "index_location")).value_or("end");
    if (location != "start" && location != "end") {
      return Damaged("the place of the shards' index makes no sense")
          .Expected("start or end")
          .Found(location);
    }
    sharding.index_at_start = location == "start";
    std::vector<Codec> index_codecs;
    PENSTOCK_RETURN_IF_ERROR(ReadCodecs(Member(configuration, "index_codecs"), index_codecs,
                                        sharding.index_big_endian, false));
    sharding.index_checksum = index_codecs.size() == 1 && index_codecs[0] == Codec::kCrc32c;
    if (!index_codecs.empty() && !sharding.index_checksum) {
      return Refuse("the index of the shards is compressed")
          .Expected("index_codecs bytes, with or without crc32c")
          .Found(ShortText(Member(configuration, "index_codecs")))
          .Advice(kRewrite);
    }
    PENSTOCK_RETURN_IF_ERROR(
        ReadCodecs(Member(configuration, "codecs"), read_.codecs, read_.big_endian, false));
    read_.sharding = std::move(sharding);
    return Status::Ok();
  }

  const Node& array_;
  const Json& json_;
  ArrayMetadata read_;
};

}  // namespace

std::optional<ElementType> PixelType(const Node& array) {
  const bool old = array.version() == 2;
  const Json& type = Member(array.metadata(), old ? "dtype" : "data_type");
  if (!type.is_string()) return std::nullopt;
  const auto& text = type.get_ref<const std::string&>();
  return old ? FromVersion2(text) : FromVersion3(text);
}

std::string TypeText(const Node& array) {
  if (const auto type = PixelType(array)) return std::string(ZarrDataType(*type));
  return ShortText(Member(array.metadata(), array.version() == 2 ? "dtype" : "data_type"));
}

std::string FillText(const Node& array) {
  return ShortText(Member(array.metadata(), "fill_value"));
}

Result<ArrayMetadata> ReadArrayMetadata(const Node& array) { return MetadataReader(array).Read(); }

}  // namespace penstock::ingest::zarr
