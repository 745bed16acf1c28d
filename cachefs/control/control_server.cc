#include "cachefs/control/control_server.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace penstock::cachefs {

namespace {

constexpr size_t kLongestRequest = 64 * 1024;
constexpr int kDeepestDataset = 8;
constexpr size_t kBlocksInFlight = 2;
constexpr std::chrono::minutes kBlockPatience{10};

// One line of at most kLongestRequest bytes; nothing where the client sends none.
std::string ReadLine(int socket) {
  std::string line;
  char byte = 0;
  while (line.size() < kLongestRequest && recv(socket, &byte, 1, 0) == 1) {
    if (byte == '\n') return line;
    line.push_back(byte);
  }
  return "";
}

bool WriteLine(int socket, const Json& json) {
  const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t count = send(socket, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::Start(const std::string& socket_path,
                                                            ControlServices services) {
  std::unique_ptr<ControlServer> server(new ControlServer(socket_path, std::move(services)));
  PENSTOCK_ASSIGN_OR_RETURN(server->listener_, ListenOn(socket_path, SOCK_STREAM, 0666));
  server->stop_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  if (!server->stop_.valid()) return Error::FromErrno(errno, "cannot make an eventfd");
  server->thread_ = std::thread([raw = server.get()] { raw->Serve(); });
  return server;
}

ControlServer::~ControlServer() {
  stopping_ = true;
  if (thread_.joinable()) {
    const uint64_t one = 1;
    if (write(stop_.get(), &one, sizeof one) < 0) spdlog::error("cannot stop the control server");
    thread_.join();
  }
  unlink(socket_path_.c_str());
}

void ControlServer::Serve() {
  while (true) {
    pollfd events[2] = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    if (poll(events, 2, -1) < 0 && errno != EINTR) return;
    if (stopping_) return;
    if ((events[1].revents & POLLIN) == 0) continue;
    auto socket =
        std::make_shared<FileDescriptor>(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket->valid()) continue;
    // A client that says nothing holds one of the workers for a moment only.
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(socket->get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    workers_.Submit(WorkerPool::Priority::kDemand, [this, socket] { Converse(socket->get()); });
  }
}

void ControlServer::Converse(int socket) {
  const auto peer = PeerOf(socket);
  const Json request = Json::parse(ReadLine(socket), nullptr, /*allow_exceptions=*/false);
  Status status;
  if (!peer.ok()) {
    status = peer.error();
  } else if (!request.is_object()) {
    status = Error::InvalidArgument("the request is not a line of JSON");
  } else {
    status = Handle(request, *peer, [socket](const Json& line) { return WriteLine(socket, line); });
  }
  if (!status.ok()) {
    WriteLine(socket, {{"error", status.error().ToString()},
                       {"kind", std::string(ErrorKindName(status.error().kind()))}});
  }
}

Status ControlServer::Handle(const Json& request, const Peer& peer, const Writer& write) {
  const auto text = [&](const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const std::string command = text("command");
  if (command == "status") {
    Json answer = services_.status(request);
    answer["done"] = true;
    write(answer);
    return {};
  }
  if (command == "locate") return Locate(text("path"), write);
  if (command == "check") {
    Json answer = services_.check();
    answer["done"] = true;
    write(answer);
    return {};
  }
  if (command == "ping") {
    services_.cache->block_count();  // takes the lock that everything needs
    write({{"done", true}});
    return {};
  }
  if (peer.uid != 0 && peer.uid != geteuid()) {
    return Error(ErrorKind::kPermission, "only root and the user of the daemon may do that");
  }
  if (command == "warm") {
    Status warmed = Error::Busy("too many caches are being warmed at once").Advice("try later");
    if (++warming_ <= kMostWarming) warmed = Warm(text("path"), write);
    --warming_;
    return warmed;
  }
  if (command == "evict") return Evict(text("path"), write);
  if (command == "unmount") {
    write({{"done", true}});
    services_.unmount();
    return {};
  }
  return Error::InvalidArgument("unknown command").Found(command);
}

Result<std::vector<std::shared_ptr<const DatasetView>>> ControlServer::DatasetsAt(
    const std::string& path) {
  std::vector<std::shared_ptr<const DatasetView>> found;
  // The path itself or a directory above it.
  for (std::string candidate = path;;) {
    auto view = services_.registry->Get(candidate);
    if (view.ok()) {
      found.push_back(std::move(view).value());
      return found;
    }
    if (view.error().kind() != ErrorKind::kNotFound) return view.error();
    if (candidate.empty()) break;
    const size_t slash = candidate.rfind('/');
    candidate = slash == std::string::npos ? "" : candidate.substr(0, slash);
  }
  const Status collected = CollectBelow(path, 0, found);
  if (!collected.ok() && collected.error().kind() != ErrorKind::kNotFound) return collected.error();
  if (found.empty()) return Error::NotFound("there is no dataset here").In("/" + path);
  return found;
}

Status ControlServer::CollectBelow(const std::string& path, int depth,
                                   std::vector<std::shared_ptr<const DatasetView>>& found) {
  if (depth > kDeepestDataset || stopping_) return {};
  PENSTOCK_ASSIGN_OR_RETURN(const auto entries, services_.upstream->List(path));
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != S_IFDIR || entry.name.starts_with('.')) continue;
    const std::string below = path.empty() ? entry.name : path + "/" + entry.name;
    auto view = services_.registry->Get(below);
    if (view.ok()) {
      found.push_back(std::move(view).value());
    } else if (view.error().kind() == ErrorKind::kNotFound) {
      PENSTOCK_RETURN_IF_ERROR(CollectBelow(below, depth + 1, found));
    } else {
      return view.error();
    }
  }
  return {};
}

Status ControlServer::Warm(const std::string& path, const Writer& write) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto datasets, DatasetsAt(path));
  struct Progress {
    std::mutex mutex;
    std::condition_variable changed;
    size_t in_flight = 0;
    uint64_t bytes = 0;
    std::string failure;
  };
  auto progress = std::make_shared<Progress>();
  uint64_t total = 0;
  size_t blocks = 0;
  for (const auto& dataset : datasets) {
    for (const auto& block : dataset->blocks) {
      total += block->file_bytes;
      ++blocks;
    }
  }
  const auto report = [&](uint64_t bytes) {
    return write({{"bytes", bytes}, {"total_bytes", total}, {"blocks", blocks}});
  };
  std::unique_lock lock(progress->mutex);
  for (const auto& dataset : datasets) {
    for (const auto& block : dataset->blocks) {
      while (progress->in_flight >= kBlocksInFlight && !stopping_) {
        progress->changed.wait_for(lock, std::chrono::seconds(1));
      }
      if (stopping_) return Error::Cancelled("the daemon ends");
      if (!progress->failure.empty()) break;
      ++progress->in_flight;
      const uint64_t bytes = progress->bytes;
      lock.unlock();
      if (!report(bytes)) return Error::Cancelled("the client has gone");
      services_.cache->WhenComplete(services_.cache->Pin(block), kBlockPatience,
                                    [progress, size = block->file_bytes](const Status& status) {
                                      const std::lock_guard guard(progress->mutex);
                                      --progress->in_flight;
                                      if (status.ok()) {
                                        progress->bytes += size;
                                      } else if (progress->failure.empty()) {
                                        progress->failure = status.error().ToString();
                                      }
                                      progress->changed.notify_all();
                                    });
      lock.lock();
    }
  }
  while (progress->in_flight > 0 && !stopping_) {
    progress->changed.wait_for(lock, std::chrono::seconds(1));
  }
  if (!progress->failure.empty()) {
    return Error(ErrorKind::kIo, "the cache could not be warmed: " + progress->failure);
  }
  const uint64_t bytes = progress->bytes;
  lock.unlock();
  write({{"bytes", bytes}, {"total_bytes", total}, {"blocks", blocks}, {"done", true}});
  return {};
}

Status ControlServer::Evict(const std::string& path, const Writer& write) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto datasets, DatasetsAt(path));
  size_t evicted = 0;
  size_t held = 0;
  for (const auto& dataset : datasets) {
    for (const auto& block : dataset->blocks) {
      if (services_.cache->Evict(block->id)) {
        ++evicted;
      } else if (services_.cache->ResidencyOf(*block).residency != Residency::kAbsent) {
        ++held;
      }
    }
  }
  write({{"evicted_blocks", evicted}, {"held_blocks", held}, {"done", true}});
  return {};
}

Status ControlServer::Locate(const std::string& path, const Writer& write) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto datasets, DatasetsAt(path));
  for (const auto& view : datasets) {
    std::vector<NodeResidency> nodes{ResidencyHere(*services_.cache, *view, services_.node_name)};
    if (services_.elsewhere) {
      for (NodeResidency& node : services_.elsewhere(*view)) nodes.push_back(std::move(node));
    }
    // The path is the dataset, a directory above it, or something in it.
    const bool inside = path.size() > view->path.size();
    if (!write(LocateJson(*view, inside ? path : view->path, nodes))) {
      return Error::Cancelled("the client has gone");
    }
  }
  write({{"done", true}});
  return {};
}

}  // namespace penstock::cachefs
