"""Reading a batch: fetch its images, read their pages, checkpoint what is finished, stage the batch."""
