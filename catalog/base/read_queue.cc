#include "penstock/base/read_queue.h"

#include <liburing.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

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
    io_uring_prep_read(entry, fd, to, static_cast<unsigned>(bytes), offset);
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

 private:
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
