// Memory that tensors leave to others, where a process may take only so much.

#include "shared.h"

#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace ferrite {
namespace {

// Smaller tensors take what others leave, as everything else does: asking the system costs more than they do.
constexpr size_t kLarge = 1 << 20;

// Addresses that nobody else can have. They are not touched, so there is no memory behind them, but limits count them.
class Held {
 public:
  explicit Held(size_t bytes)
      : bytes_(bytes), start_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~Held() {
    if (held()) {
      munmap(start_, bytes_);
    }
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  bool held() const {
    return start_ != MAP_FAILED;
  }

 private:
  const size_t bytes_;
  void* const start_;
};

// LibTorch's own allocator, which refuses a large tensor unless `reserve` bytes are there beside it.
class Reserving final : public c10::Allocator {
 public:
  Reserving(c10::Allocator* under, size_t reserve) : under_(under), reserve_(reserve) {}

  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < kLarge) {
      return under_->allocate(bytes);
    }
    const Held reserve(reserve_);
    TORCH_CHECK(
        reserve.held(), "can't allocate memory: you tried to allocate ", bytes, " bytes, and ", reserve_,
        " are to be left for what is no tensor");
    return under_->allocate(bytes);
  }

  c10::DeleterFnPtr raw_deleter() const override {
    return under_->raw_deleter();
  }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    under_->copy_data(to, from, bytes);
  }

 private:
  c10::Allocator* const under_;
  const size_t reserve_;
};

}  // namespace
}  // namespace ferrite

// From now on large tensors leave `bytes` to others. Called once, before there are tensors: LibTorch never lets go of it.
extern "C" void ferrite_reserve_memory(size_t bytes) {
  auto* reserving = new ferrite::Reserving(c10::GetCPUAllocator(), bytes);
  c10::SetCPUAllocator(reserving, std::numeric_limits<uint8_t>::max());
}
