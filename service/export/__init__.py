"""Export: selection, cutting, rendering and control totals of the batches a bursar loads."""
