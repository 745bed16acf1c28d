#include <fmt/format.h>

#include "ingest/formats/hdf5/container.h"

namespace penstock::ingest::hdf5 {

// Follows a path name by name. Soft and external links are read, not followed by the library.
class LinkWalker {
 public:
  explicit LinkWalker(int steps) : steps_(steps) {}

  Result<Object> Walk(std::shared_ptr<Container> container, Hdf5Handle at, std::string at_path,
                      std::string_view path) {
    while (true) {
      const size_t begin = path.find_first_not_of('/');
      if (begin == std::string_view::npos) break;
      path.remove_prefix(begin);
      const std::string name(path.substr(0, path.find('/')));
      path.remove_prefix(name.size());
      if (name == ".") continue;
      const std::string here = at_path == "/" ? "/" + name : at_path + "/" + name;
      if (--steps_ < 0) {
        return Error::Corrupt("links lead from one to another without end")
            .In(container->path().string())
            .At(here);
      }
      H5L_info_t info;
      if (H5Iget_type(at.get()) != H5I_GROUP ||
          H5Lget_info(at.get(), name.c_str(), &info, H5P_DEFAULT) < 0) {
        return Error::NotFound("there is no such object in the file")
            .In(container->path().string())
            .Expected(here)
            .Found(fmt::format("no '{}' in '{}'", name, at_path));
      }
      if (info.type == H5L_TYPE_HARD) {
        Hdf5Handle next(H5Oopen(at.get(), name.c_str(), H5P_DEFAULT), H5Oclose);
        if (!next.valid()) {
          return Error::Corrupt(
                     "an object cannot be opened: the file is damaged, or of a newer HDF5")
              .In(container->path().string())
              .At(here)
              .Expected(fmt::format("what HDF5 {}.{} reads", H5_VERS_MAJOR, H5_VERS_MINOR))
              .Advice(
                  "h5dump shows whether it is damaged; a file of a newer HDF5 is rewritten by "
                  "h5repack --high=2");
        }
        at = std::move(next);
        at_path = here;
        continue;
      }
      constexpr size_t kLongest = 65536;
      std::vector<char> value(info.u.val_size + 1, '\0');
      if (info.u.val_size > kLongest ||
          H5Lget_val(at.get(), name.c_str(), value.data(), value.size(), H5P_DEFAULT) < 0) {
        return Error::Corrupt("a link cannot be read").In(container->path().string()).At(here);
      }
      if (info.type == H5L_TYPE_SOFT) {
        const std::string target(value.data());
        if (target.empty()) {
          return Error::Corrupt("an empty link").In(container->path().string()).At(here);
        }
        const bool absolute = target.front() == '/';
        Hdf5Handle from = absolute ? OpenRoot(*container) : std::move(at);
        auto next = Walk(container, std::move(from), absolute ? "/" : at_path, target);
        if (!next.ok()) {
          return std::move(next).error().Context("following the link " + here);
        }
        container = next->container_;
        at = std::move(next->handle_);
        at_path = absolute ? next->path_ : here;
        continue;
      }
      if (info.type == H5L_TYPE_EXTERNAL) {
        const char* file = nullptr;
        const char* target = nullptr;
        unsigned flags = 0;
        if (H5Lunpack_elink_val(value.data(), info.u.val_size, &flags, &file, &target) < 0) {
          return Error::Corrupt("a link cannot be read").In(container->path().string()).At(here);
        }
        auto other = container->OpenNeighbour(file);
        if (!other.ok()) return std::move(other).error().At(here);
        Hdf5Handle root = OpenRoot(**other);
        auto next = Walk(*other, std::move(root), "/", target);
        if (!next.ok()) {
          return std::move(next).error().Context(
              fmt::format("following the link {}:{}", container->name(), here));
        }
        container = next->container_;
        at = std::move(next->handle_);
        at_path = next->path_;
        continue;
      }
      return Error::Unsupported("a link of a kind that is not known")
          .In(container->path().string())
          .At(here);
    }
    return Make(std::move(container), std::move(at), std::move(at_path));
  }

  static Hdf5Handle OpenRoot(const Container& container) {
    return {H5Oopen(container.id(), "/", H5P_DEFAULT), H5Oclose};
  }

 private:
  static Result<Object> Make(std::shared_ptr<Container> container, Hdf5Handle at,
                             std::string path) {
    Object object;
    const H5I_type_t type = at.valid() ? H5Iget_type(at.get()) : H5I_BADID;
    if (type != H5I_GROUP && type != H5I_DATASET) {
      return Error::Corrupt("neither a group nor a dataset")
          .In(container->path().string())
          .At(path);
    }
    H5O_info_t info;
#if H5_VERSION_GE(1, 12, 0)
    if (H5Oget_info1(at.get(), &info) < 0) {
#else
    if (H5Oget_info(at.get(), &info) < 0) {
#endif
      return Error::Corrupt("an object cannot be examined: the file may be damaged")
          .In(container->path().string())
          .At(path);
    }
    object.key_ = {container->path().string(), info.addr};
    object.is_group_ = type == H5I_GROUP;
    object.handle_ = std::move(at);
    object.container_ = std::move(container);
    object.path_ = std::move(path);
    return object;
  }

  int steps_;
};

namespace {
constexpr int kMaxSteps = 200;
}  // namespace

Result<Object> Object::Root(std::shared_ptr<Container> container) {
  const Hdf5Session session;
  Hdf5Handle root = LinkWalker::OpenRoot(*container);
  return LinkWalker(kMaxSteps).Walk(std::move(container), std::move(root), "/", "");
}

Object::~Object() {
  if (!handle_.valid()) return;
  const Hdf5Session session;
  handle_.Reset();
}

Object& Object::operator=(Object&& other) noexcept {
  const Hdf5Session session;
  handle_ = std::move(other.handle_);
  container_ = std::move(other.container_);
  path_ = std::move(other.path_);
  key_ = std::move(other.key_);
  is_group_ = other.is_group_;
  return *this;
}

std::string Object::name() const { return path_.substr(path_.rfind('/') + 1); }

std::string Object::Place() const { return container_->name() + ":" + path_; }

Result<Object> Object::Get(std::string_view path) const {
  const Hdf5Session session;
  const bool absolute = path.starts_with('/');
  Hdf5Handle from;
  if (absolute) {
    from = LinkWalker::OpenRoot(*container_);
  } else {
    H5Iinc_ref(handle_.get());
    from = Hdf5Handle(handle_.get(), H5Oclose);
  }
  return LinkWalker(kMaxSteps).Walk(container_, std::move(from), absolute ? "/" : path_, path);
}

std::optional<Object> Object::Find(std::string_view path) const {
  auto found = Get(path);
  if (!found.ok()) return std::nullopt;
  return std::move(found).value();
}

bool Object::Has(std::string_view child) const {
  const Hdf5Session session;
  const std::string name(child);
  return is_group_ && name.find('/') == std::string::npos &&
         H5Lexists(handle_.get(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> Object::Children(size_t limit) const {
  const Hdf5Session session;
  struct Collected {
    std::vector<std::string> names;
    size_t limit;
  } collected{{}, limit};
  if (!is_group_) return {};
  const auto collect = [](hid_t /*group*/, const char* name, const H5L_info_t* /*info*/,
                          void* data) -> herr_t {
    auto& all = *static_cast<Collected*>(data);
    if (all.names.size() >= all.limit) return 1;
    try {
      all.names.emplace_back(name);
    } catch (const std::exception&) {
      return -1;  // no exception may pass the library
    }
    return 0;
  };
  H5Literate(handle_.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &collected);
  return std::move(collected.names);
}

}  // namespace penstock::ingest::hdf5
