"""Which events pass: the filter language, compiled to masks over batches, and the stages that cut a stream."""
