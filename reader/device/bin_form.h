// Sums of frames over bins of pixels on a device.

#ifndef PENSTOCK_READER_DEVICE_BIN_FORM_H_
#define PENSTOCK_READER_DEVICE_BIN_FORM_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reader/device/device_form.h"
#include "reader/device/mask_form.h"

namespace penstock {

// bins[p] < bin_count: the bin of pixel p; anything else: none. Totals are [frame][bin], int64 for
// integer data.
Result<std::unique_ptr<DeviceForm>> MakeBinForm(const DeviceContext& context,
                                                std::span<const uint32_t> bins, size_t bin_count,
                                                StoreTotals store);

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_BIN_FORM_H_
