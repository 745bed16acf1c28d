#include "penstock/base/read_queue.h"

#include <liburing.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <vector>

namespace penstock {

namespace {

class UringQueue final : public ReadQueue {
 public:
  UringQueue() = default;
  ~UringQueue() override {
    if (started_) io_uring_queue_exit(&ring_);
  }
  UringQueue(const UringQueue&) = delete;
  UringQueue& operator=(const UringQueue&) = delete;

  Status Start(int depth) {
    const int failure = io_uring_queue_init(static_cast<unsigned>(depth), &ring_, 0);
    if (failure < 0) return Error::Unsupported("the kernel refuses io_uring");
    started_ = true;
    return Status::Ok();
  }

  Status Submit(int fd, uint64_t offset, std::byte* to, size_t bytes, uint64_t tag) override {
    io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) return Error::Internal("the read queue is full");
    const int buffer = RegisteredBuffer(to, bytes);
    if (buffer >= 0) {
      io_uring_prep_read_fixed(entry, fd, to, static_cast<unsigned>(bytes), offset, buffer);
    } else {
      io_uring_prep_read(entry, fd, to, static_cast<unsigned>(bytes), offset);
    }
    io_uring_sqe_set_data64(entry, tag);
    int submitted = 0;
    do {
      submitted = io_uring_submit(&ring_);
    } while (submitted == -EINTR || submitted == -EAGAIN);
    if (submitted < 0) return Error::FromErrno(-submitted, "cannot submit a read");
    return Status::Ok();
  }

  Result<Completion> Wait() override {
    io_uring_cqe* entry = nullptr;
    int failure = 0;
    do {
      failure = io_uring_wait_cqe(&ring_, &entry);
    } while (failure == -EINTR || failure == -EAGAIN);
    if (failure < 0) return Error::FromErrno(-failure, "cannot wait for a read");
    const Completion completion{io_uring_cqe_get_data64(entry), entry->res};
    io_uring_cqe_seen(&ring_, entry);
    return completion;
  }

  bool is_asynchronous() const override { return true; }

  void Register(std::span<const std::span<std::byte>> buffers) override {
    if (!registered_.empty()) io_uring_unregister_buffers(&ring_);
    registered_.assign(buffers.begin(), buffers.end());
    std::vector<iovec> vectors;
    for (const std::span<std::byte>& buffer : registered_) {
      vectors.push_back({buffer.data(), buffer.size()});
    }
    if (vectors.empty() || io_uring_register_buffers(&ring_, vectors.data(),
                                                     static_cast<unsigned>(vectors.size())) < 0) {
      registered_.clear();
    }
  }

 private:
  // -1 where the memory is in none.
  int RegisteredBuffer(const std::byte* to, size_t bytes) const {
    for (size_t i = 0; i < registered_.size(); ++i) {
      const std::span<std::byte>& buffer = registered_[i];
      if (to >= buffer.data() && to + bytes <= buffer.data() + buffer.size()) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }

  std::vector<std::span<std::byte>> registered_;
  io_uring ring_{};
  bool started_ = false;
};

class PreadQueue final : public ReadQueue {
 public:
  Status Submit(int fd, uint64_t offset, std::byte* to, size_t bytes, uint64_t tag) override {
    pending_.push_back({fd, offset, to, bytes, tag});
    return Status::Ok();
  }

  Result<Completion> Wait() override {
    const Read read = pending_.front();
    pending_.pop_front();
    const ssize_t count = pread(read.fd, read.to, read.bytes, static_cast<off_t>(read.offset));
    return Completion{read.tag, count < 0 ? -int64_t{errno} : int64_t{count}};
  }

  bool is_asynchronous() const override { return false; }

 private:
  struct Read {
    int fd;
    uint64_t offset;
    std::byte* to;
    size_t bytes;
    uint64_t tag;
  };
  std::deque<Read> pending_;
};

}  // namespace

Result<std::unique_ptr<ReadQueue>> MakeUringQueue(int depth) {
  auto queue = std::make_unique<UringQueue>();
  PENSTOCK_RETURN_IF_ERROR(queue->Start(depth));
  return std::unique_ptr<ReadQueue>(std::move(queue));
}

std::unique_ptr<ReadQueue> MakePreadQueue() { return std::make_unique<PreadQueue>(); }

}  // namespace penstock
