// The products of frames and a stack of masks on a device.

#ifndef PENSTOCK_READER_DEVICE_MASK_FORM_H_
#define PENSTOCK_READER_DEVICE_MASK_FORM_H_

#include <functional>
#include <memory>
#include <span>

#include "penstock/reader/mask.h"
#include "reader/device/device_form.h"
#include "reader/device/frame_totals.h"
#include "reader/masks/mask_stack.h"

namespace penstock {

// What takes the totals of a partition, [frame][mask], into a reduction's state.
using StoreTotals = std::function<void(Reduction::State& state, const FetchedTotals& totals)>;

// Real masks. `exact`: integer data and weights whose sums fit int64; the totals are int64 then.
Result<std::unique_ptr<DeviceForm>> MakeMaskForm(const DeviceContext& context, MaskStack masks,
                                                 bool exact, StoreTotals store);

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_MASK_FORM_H_
