// libFuzzer target: whatever a plan says and whatever its blocks hold, Plan::Open refuses it or
// every page of it can be read within bounds. Built and run by scripts/fuzz.
//
// An input is a plan followed by the bytes of its pages image. The plan's own header says where it
// ends; an input shorter than that is all plan. The image goes on with zeros up to kImageBytesMin,
// so that small inputs can have raw pages.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "page_reader.h"
#include "plan.h"

namespace {

using thaw::Extent;
using thaw::Fd;
using thaw::kPageSize;
using thaw::PageReader;
using thaw::PageRun;
using thaw::PageSource;
using thaw::Patience;
using thaw::Plan;
using thaw::PlanHeader;

constexpr uint64_t kImageBytesMin = 512 * kPageSize;
// Every source that a plan names is the one image; none names more than a chain of this length.
constexpr uint32_t kSourcesMax = 8;
constexpr uint32_t kRunPagesMax = 16;
// Pages decoded for one input. Extents may share blocks, so that a small plan could ask for any
// number of them.
constexpr uint64_t kDecodedPagesMax = 8192;

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

Fd MemfdOf(const uint8_t* bytes, size_t byte_length) {
  Fd fd(::memfd_create("thaw-fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  Require(fd.valid());
  Require(::write(fd.get(), bytes, byte_length) == static_cast<ssize_t>(byte_length));
  return fd;
}

std::shared_ptr<PageSource> SourceOf(const uint8_t* bytes, size_t byte_length) {
  Fd fd = MemfdOf(bytes, byte_length);
  Require(::ftruncate(fd.get(), static_cast<off_t>(std::max(byte_length, kImageBytesMin))) == 0);
  int error = 0;
  std::shared_ptr<PageSource> source = PageSource::Open(std::move(fd), &error);
  Require(source != nullptr);
  return source;
}

// That the bytes of a run are where they may be: reads what the pager would hand to the kernel.
void CheckRun(const Plan& plan, const Extent& extent, uint32_t page, const PageRun& run) {
  Require(run.page_count > 0 && run.first_page <= page);
  Require(page - run.first_page < run.page_count);
  Require(uint64_t{run.first_page} + run.page_count <= extent.page_count);
  if (run.zero || run.error != 0) return;
  const uint64_t byte_length = run.page_count * kPageSize;
  const std::vector<uint8_t> copy(reinterpret_cast<const uint8_t*>(run.source),
                                  reinterpret_cast<const uint8_t*>(run.source) + byte_length);
  Require(copy.size() == byte_length);
}

void ReadAll(const Plan& plan) {
  uint64_t decoded = 0;
  for (uint32_t i = 0; i < plan.extent_count(); ++i) {
    const Extent extent = plan.extent(i);
    Require(plan.FindExtent(extent.vaddr) == i && plan.FindExtent(extent.end() - 1) == i);
    if (extent.kind != thaw::kExtentData) continue;
    PageReader reader;  // a new one, so that its buffers are no longer than what was asked for
    for (uint32_t page = 0; page < extent.page_count;) {
      if (decoded > kDecodedPagesMax) return;
      const PageRun run = reader.Read(plan, extent, page, kRunPagesMax, Patience::kWait);
      CheckRun(plan, extent, page, run);
      page = run.first_page + run.page_count;
      decoded += 1 + std::max(extent.block_pages, run.page_count);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t byte_length) {
  uint64_t plan_bytes = byte_length;
  uint32_t source_count = 0;
  if (byte_length >= sizeof(PlanHeader)) {
    PlanHeader header;
    std::memcpy(&header, bytes, sizeof(header));
    plan_bytes = std::min(plan_bytes, header.byte_length);
    source_count = std::min(header.source_count, kSourcesMax);
  }
  const Fd plan_fd = MemfdOf(bytes, plan_bytes);
  Require(::fcntl(plan_fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  const std::vector<std::shared_ptr<PageSource>> sources(
      source_count, SourceOf(bytes + plan_bytes, byte_length - plan_bytes));
  Plan::Error error = Plan::Error::kNone;
  const std::shared_ptr<const Plan> plan = Plan::Open(plan_fd.get(), sources, &error);
  Require((plan == nullptr) == (error != Plan::Error::kNone));
  if (plan != nullptr) ReadAll(*plan);
  return 0;
}
